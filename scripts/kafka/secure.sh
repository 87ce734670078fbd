# shellcheck shell=bash
# shellcheck disable=SC2154  # names come from kafka.sh and the other files that it sources
# KAFKA_SECURE=1: certificates and accounts in $KAFKA_RUN/secure (mode 700), and the smallest access rules that
# the services work with.
#   ca.pem, server.pem     PEM, read by Kafka as it is
#   passwords              user=password, one a line
#   <user>.properties      for Kafka's own tools (--command-config)
#   <user>.rdkafka         key=value, for the services' --kafka-config

users="admin monitor orchestrator consumer producer stranger"

secure_password() { sed -n "s/^$1=//p" "$KAFKA_RUN/secure/passwords"; }
secure_accounts() {
  local user password
  while IFS='=' read -r user password; do
    printf -- '--add-scram\nSCRAM-SHA-512=[name=%s,password=%s]\n' "$user" "$password"
  done <"$KAFKA_RUN/secure/passwords"
}

# Made once per instance; accounts enter the data when it is formatted.
secure_files() {
  local folder=$KAFKA_RUN/secure user
  [ ! -f "$folder/.complete" ] || return 0
  command -v openssl >/dev/null || die "openssl is needed for KAFKA_SECURE=1. Debian: apt-get install openssl"
  rm -rf "$folder"
  mkdir -m 700 "$folder"
  (cd "$folder" && make_certificates 2>openssl.log) || die "making certificates failed, see $folder/openssl.log"
  for user in $users; do make_account "$user" "$folder"; done
  chmod 600 "$folder"/*
  touch "$folder/.complete"
}

make_certificates() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -keyout ca.key -out ca.pem -subj /CN=stowage-development-ca &&
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=kafka &&
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' >extensions &&
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile extensions -out server.crt &&
    openssl pkcs8 -topk8 -nocrypt -in server.key | cat - server.crt ca.pem >server.pem
}

make_account() {
  local user=$1 folder=$2 password
  password=$(head -c 18 /dev/urandom | base64 | tr '+/' 'ab')
  echo "$user=$password" >>"$folder/passwords"
  cat >"$folder/$user.properties" <<END
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="$user" password="$password";
ssl.truststore.type=PEM
ssl.truststore.location=$folder/ca.pem
END
  cat >"$folder/$user.rdkafka" <<END
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.username=$user
sasl.password=$password
ssl.ca.location=$folder/ca.pem
END
}

# allow USER OPTION...: one rule, written in the background, since each costs the start of a JVM
allow() {
  local user=$1
  shift
  (tool AclCommand --add --allow-principal "User:$user" "$@") >>"$KAFKA_RUN/secure/rules.log" 2>&1 8>&- 9>&- &
  rules="$rules $!"
}
ops() { printf -- '--operation %s ' "$@"; }

secure_rules() {
  local data=${KAFKA_SECURE_DATA:-orders} group=${KAFKA_SECURE_GROUP:-data-engineering} rule
  [ ! -f "$KAFKA_RUN/secure/.rules" ] || return 0
  say "writing the access rules"
  rules=
  rules_of_services "$data" "$group"
  allow producer --operation Write --operation Create --topic "$data" --resource-pattern-type prefixed
  for rule in $rules; do wait "$rule" || die "writing the access rules failed, see $KAFKA_RUN/secure/rules.log"; done
  touch "$KAFKA_RUN/secure/.rules"
}

# Write and Read imply Describe; DescribeLogDirs is the right to describe the cluster.
rules_of_services() {
  local data=$1 group=$2 ours=data-engineering
  # shellcheck disable=SC2046  # ops prints words
  {
    allow monitor $(ops Describe) --cluster
    allow monitor $(ops Describe) --topic "$data" --resource-pattern-type prefixed
    allow monitor $(ops Describe) --group "$group"
    allow monitor $(ops Write Create DescribeConfigs) --topic $ours-monitor
    allow orchestrator $(ops Read) --topic $ours-monitor
    allow orchestrator $(ops Read Write Create Alter DescribeConfigs AlterConfigs) --topic $ours-controller --topic $ours-events --topic $ours-service
    allow orchestrator $(ops Describe Create DescribeConfigs) --topic $ours-dead-letter
    allow orchestrator $(ops Describe) --topic "$data" --resource-pattern-type prefixed
    allow consumer $(ops Read) --topic "$data" --resource-pattern-type prefixed
    allow consumer $(ops Read) --group "$group"
    allow consumer $(ops Read) --topic $ours-controller
    allow consumer $(ops Write) --topic $ours-events --topic $ours-dead-letter
  }
}

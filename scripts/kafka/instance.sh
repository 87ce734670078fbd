# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # names come from kafka.sh, which sources this file, and are used in its other files
# One instance: its settings, its ports, its nodes.

KAFKA_RUN=$(absolute "${KAFKA_RUN:-$root/.stowage/kafka}")
KAFKA_HEAP=${KAFKA_HEAP:-512m}
KAFKA_JVM=${KAFKA_JVM:-"-XX:+UseSerialGC -XX:TieredStopAtLevel=1"}
KAFKA_EXTRA=${KAFKA_EXTRA:-}
KAFKA_WAIT=${KAFKA_WAIT:-90}
KAFKA_SPACE_MB=${KAFKA_SPACE_MB:-1024}
first_port=19092

# What an instance was started with is kept beside its data, so that later calls need only KAFKA_RUN.
kept() { sed -n "s/^$1=//p" "$KAFKA_RUN/settings" 2>/dev/null || true; }
asked_port=${KAFKA_PORT:-}
if [ -z "$asked_port" ] || [ "$asked_port" = auto ]; then KAFKA_PORT=$(kept port); fi
KAFKA_PORT=${KAFKA_PORT:-${asked_port:-$first_port}}
KAFKA_NODES=${KAFKA_NODES:-$(kept nodes)}
KAFKA_NODES=${KAFKA_NODES:-1}
KAFKA_SECURE=${KAFKA_SECURE:-$(kept secure)}
KAFKA_SECURE=${KAFKA_SECURE:-0}

check_variables() {
  case $KAFKA_NODES in 1 | 3) ;; *) refuse "KAFKA_NODES is 1 or 3, not '$KAFKA_NODES'" ;; esac
  case $KAFKA_SECURE in 0 | 1) ;; *) refuse "KAFKA_SECURE is 0 or 1, not '$KAFKA_SECURE'" ;; esac
  [ "$KAFKA_PORT" = auto ] || { is_number "$KAFKA_PORT" && [ "$KAFKA_PORT" -ge 1 ] && [ "$KAFKA_PORT" -le 65500 ]; } ||
    refuse "KAFKA_PORT is a port up to 65500 or 'auto', not '$KAFKA_PORT'"
  is_number "$KAFKA_WAIT" || refuse "KAFKA_WAIT is a number of seconds, not '$KAFKA_WAIT'"
  is_number "$KAFKA_SPACE_MB" || refuse "KAFKA_SPACE_MB is a number of megabytes, not '$KAFKA_SPACE_MB'"
  [ -z "$KAFKA_EXTRA" ] || [ -r "$KAFKA_EXTRA" ] || refuse "KAFKA_EXTRA names '$KAFKA_EXTRA', which cannot be read"
  case $KAFKA_RUN in *[[:space:]\|\&\\]*) refuse "KAFKA_RUN must be a path without spaces, '|', '&' and '\\': '$KAFKA_RUN'" ;; esac
}

# A folder that can be written and has room. need_folder FOLDER MEGABYTES WHAT-FOR VARIABLE
need_folder() {
  local free
  mkdir -p "$1" 2>/dev/null || die "the folder $1 ($3) cannot be made; set $4 to a folder that can be written"
  (: >"$1/.probe") 2>/dev/null || die "the folder $1 ($3) cannot be written; set $4 to one that can"
  rm -f "$1/.probe"
  free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1024) }')
  [ "$free" -ge "$2" ] || die "$1 ($3) needs $2 MB of free disk space and has $free MB; make room, or set $4 to another disk"
}

lock_instance() { take_lock "$KAFKA_RUN/lock" 300; }

node_port() { echo $((KAFKA_PORT + 10 * ($1 - 1))); }
nodes() { seq "$KAFKA_NODES"; }
bootstrap() {
  local n servers=
  for n in $(nodes); do servers=$servers,127.0.0.1:$(node_port "$n"); done
  echo "${servers#,}"
}

# alive NODE: a process of ours, not another one that got the same pid
alive() {
  local file=$KAFKA_RUN/node$1/pid
  [ -f "$file" ] && grep -qszxF -- "-Dstowage.kafka.node=$KAFKA_RUN/node$1" "/proc/$(cat "$file")/cmdline"
}
any_alive() {
  local n
  for n in 1 2 3; do if alive "$n"; then return 0; fi; done
  return 1
}

# brokers PORT: asks for Metadata (version 1, no topics) in plain bash and prints how many brokers are in the answer.
brokers() {
  local n
  n=$(
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || exit 0
    printf '\0\0\0\016\0\003\0\001\0\0\0\007\377\377\0\0\0\0' >&3
    timeout 2 head -c 12 <&3 | od -An -tu1 | awk 'NF == 12 { print $12 }'
  )
  [ -n "$n" ] && echo "$n"
}

status() {
  local n state result=0
  if [ -n "${KAFKA_BOOTSTRAP_SERVERS:-}" ]; then say "KAFKA_BOOTSTRAP_SERVERS=$KAFKA_BOOTSTRAP_SERVERS is a Kafka that this script did not start"; fi
  [ "$KAFKA_PORT" != auto ] || { echo "nothing was started in $KAFKA_RUN"; return 1; }
  for n in $(nodes); do
    state=stopped
    if alive "$n"; then state="running, pid $(cat "$KAFKA_RUN/node$n/pid")"; else result=1; fi
    echo "node $n  127.0.0.1:$(node_port "$n")  $state  $KAFKA_RUN/node$n"
  done
  return "$result"
}

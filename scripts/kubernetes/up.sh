# shellcheck shell=bash
# shellcheck disable=SC2154  # names come from kubernetes.sh and the other files that it sources
# `kubernetes.sh up`: keys once, start what does not run, wait until every process is ready.

up() {
  check_variables
  mkdir -p "$KUBE_RUN" 2>/dev/null || die "the folder $KUBE_RUN cannot be made; set KUBE_RUN"
  KUBE_RUN=$(cd "$KUBE_RUN" && pwd)
  for tool in curl python3; do command -v $tool >/dev/null || die "$tool is needed. Debian: apt-get install $tool"; done
  build
  lock_instance
  began=$(date +%s%N)
  umask 077
  mkdir -p "$KUBE_RUN"/{certificates,logs,pids,nodes}
  check_kept_settings
  if ! any_alive; then
    take_ports
    printf 'port=%s\nnodes=%s\n' "$KUBE_PORT" "$KUBE_NODES" >"$KUBE_RUN/settings"
  fi
  make_identities
  started=
  trap stop_started EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  start_etcd
  start_api_server
  start_controllers
  start_kubelets
  exec 8>&-
  trap - EXIT INT TERM
  say "Kubernetes $version, $KUBE_NODES node(s), ready after $((($(date +%s%N) - began) / 1000000)) ms"
  echo "KUBECONFIG=$KUBE_RUN/admin.kubeconfig"
}

# A start that failed or was broken off leaves nothing running behind.
stop_started() {
  local name
  for name in $started; do stop_process "$name"; done
}

# Addresses of pods and identities of nodes follow from port and number of nodes.
check_kept_settings() {
  any_alive || return 0
  [ "$KUBE_NODES" = "$(kept nodes)" ] || die "the instance in $KUBE_RUN runs with $(kept nodes) node(s), not $KUBE_NODES; stop it first"
  case $asked_port in
    '' | auto | "$(kept port)") ;;
    *) die "the instance in $KUBE_RUN runs on port $(kept port), not $asked_port; stop it first, or take another KUBE_RUN" ;;
  esac
}

# The first port of this instance that another program listens on; fails when all are free.
taken_port() {
  local offset
  for offset in 0 1 2 3 4 10 11 12; do
    if is_taken $((KUBE_PORT + offset)); then echo $((KUBE_PORT + offset)); return 0; fi
  done
  return 1
}

# Instances that choose at the same time wait for each other, until the chosen ports are listened on (fd 8 is closed
# when all processes are ready).
take_ports() {
  local port
  if [ "$KUBE_PORT" != auto ]; then
    if port=$(taken_port); then die "port $port is taken by another program; set KUBE_PORT to another port, or to 'auto'"; fi
    return
  fi
  exec 8>"$cache/ports.lock"
  flock -w 300 8 || die "another kubernetes.sh has been holding $cache/ports.lock for 5 minutes"
  for KUBE_PORT in $(seq "$first_port" "$ports_apart" $((first_port + 2300))); do
    if ! taken_port >/dev/null; then return; fi
  done
  die "no free ports were found from $first_port on; set KUBE_PORT"
}

secret() { head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# token_of USER: from the list of identities that the API server knows
token_of() { sed -n "s/,$1,.*//p" "$KUBE_RUN/tokens.csv"; }

# Keys and identities live as long as the cluster's data.
make_identities() {
  local n
  if [ ! -f "$KUBE_RUN/tokens.csv" ]; then
    "$program" key "$KUBE_RUN/accounts.key"
    {
      echo "$(secret),admin,admin,system:masters"
      echo "$(secret),nobody,nobody"
      for n in $(seq "$nodes_max"); do echo "$(secret),system:node:node-$n,node-$n,system:nodes"; done
    } >"$KUBE_RUN/tokens.new"
    mv "$KUBE_RUN/tokens.new" "$KUBE_RUN/tokens.csv"
  fi
  write_kubeconfig admin
  write_kubeconfig nobody
}

write_kubeconfig() {
  cat >"$KUBE_RUN/$1.kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: local
clusters: [{name: local, cluster: {server: "$(server)", certificate-authority: "$KUBE_RUN/certificates/apiserver.crt"}}]
users: [{name: local, user: {token: "$(token_of "$1")"}}]
contexts: [{name: local, context: {cluster: local, user: local}}]
END
}

# start NAME MEMORY COMMAND...: unless it runs. MEMORY is what the garbage collector aims to stay below.
start() {
  local name=$1 memory=$2
  shift 2
  ! alive "$name" || return 0
  # setsid: Ctrl-C in the terminal reaches the caller, who then decides when the cluster stops.
  GOMEMLIMIT=$memory setsid "$@" >"$KUBE_RUN/logs/$name.log" 2>&1 7>&- 8>&- 9>&- </dev/null &
  echo $! >"$KUBE_RUN/pids/$name"
  started="$name $started"
}

# wait_for NAME COMMAND...: until the command succeeds
wait_for() {
  local name=$1 log=$KUBE_RUN/logs/$1.log limit=$((SECONDS + KUBE_WAIT))
  shift
  until "$@" >/dev/null 2>&1; do
    kill -0 "$(cat "$KUBE_RUN/pids/$name")" 2>/dev/null || { tail -n 5 "$log" >&2; die "$name ended while it started, see $log"; }
    [ $SECONDS -lt $limit ] || { tail -n 5 "$log" >&2; die "$name is not ready after $KUBE_WAIT s, see $log"; }
    sleep 0.1
  done
}

# ask PATH [JSON]: the API server, as admin; with JSON the object is created
ask() {
  local body=()
  [ -z "${2:-}" ] || body=(-H 'Content-Type: application/json' -d "$2")
  curl -sSf --noproxy '*' --max-time 5 --cacert "$KUBE_RUN/certificates/apiserver.crt" \
    -H @<(echo "Authorization: Bearer $(token_of admin)") "${body[@]}" "$(server)$1"
}

# health URL: of a process that has a certificate of its own, which nobody else knows
health() { curl -ksSf --noproxy '*' --max-time 2 "$1"; }

start_etcd() {
  local clients peers
  clients=http://127.0.0.1:$(etcd_port) peers=http://127.0.0.1:$(etcd_peer_port)
  start etcd 256MiB "$program" etcd --name local --data-dir "$KUBE_RUN/etcd" --listen-client-urls "$clients" \
    --advertise-client-urls "$clients" --listen-peer-urls "$peers" --initial-advertise-peer-urls "$peers" \
    --initial-cluster "local=$peers" --unsafe-no-fsync --log-level warn
  wait_for etcd health "$clients/health"
}

# It writes its own certificate, which is also the authority that clients check it by.
start_api_server() {
  start kube-apiserver 640MiB "$program" kube-apiserver --etcd-servers "http://127.0.0.1:$(etcd_port)" \
    --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$KUBE_PORT" --cert-dir "$KUBE_RUN/certificates" \
    --token-auth-file "$KUBE_RUN/tokens.csv" --anonymous-auth=false --authorization-mode Node,RBAC \
    --enable-admission-plugins NodeRestriction --allow-privileged --kubelet-preferred-address-types InternalIP \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$KUBE_RUN/accounts.key" \
    --service-account-signing-key-file "$KUBE_RUN/accounts.key" --service-cluster-ip-range 10.96.0.0/24 \
    --audit-policy-file "$here/audit-policy.yaml" --audit-log-path "$KUBE_RUN/logs/audit.log" \
    --endpoint-reconciler-type none --enable-priority-and-fairness=false --profiling=false \
    --default-not-ready-toleration-seconds "$KUBE_TOLERATION" --default-unreachable-toleration-seconds "$KUBE_TOLERATION"
  wait_for kube-apiserver ask /readyz
}

# Their ports serve health alone: no certificate of ours, no delegated authorization.
start_controllers() {
  local common=(--kubeconfig "$KUBE_RUN/admin.kubeconfig" --bind-address 127.0.0.1 --leader-elect=false
    --kube-api-qps 500 --kube-api-burst 1000 --profiling=false)
  start kube-controller-manager 256MiB "$program" kube-controller-manager "${common[@]}" --secure-port "$(controllers_port)" \
    --service-account-private-key-file "$KUBE_RUN/accounts.key" --root-ca-file "$KUBE_RUN/certificates/apiserver.crt" \
    --node-monitor-period 1s --node-monitor-grace-period "${KUBE_NODE_GRACE}s"
  start kube-scheduler 192MiB "$program" kube-scheduler "${common[@]}" --secure-port "$(scheduler_port)"
  wait_for kube-controller-manager health "https://127.0.0.1:$(controllers_port)/healthz"
  wait_for kube-controller-manager ask /api/v1/namespaces/default/serviceaccounts/default
  wait_for kube-scheduler health "https://127.0.0.1:$(scheduler_port)/readyz"
}

start_kubelets() {
  local n provisioner class=/apis/storage.k8s.io/v1/storageclasses
  [ "$KUBE_NODES" != 0 ] || return 0
  [ -f "$KUBE_IMAGES" ] || echo '{}' >"$KUBE_IMAGES"
  ask $class/local-directory >/dev/null 2>&1 || ask $class "$(cat "$here/storage-class.json")" >/dev/null || die "the storage class was not made"
  for n in $(nodes); do
    provisioner=()
    # One of them makes volumes for the whole cluster, which takes an administrator's rights.
    [ "$n" != 1 ] || provisioner=(--provisioner-token-of admin)
    # shellcheck disable=SC2086  # several flags in one variable
    PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 start "kubelet-$n" '' python3 -m kubelet --server "$(server)" \
      --certificates "$KUBE_RUN/certificates" --tokens "$KUBE_RUN/tokens.csv" --node "node-$n" --root "$KUBE_RUN/nodes/node-$n" \
      --port "$(kubelet_port "$n")" --network "$(network "$n")" --images "$KUBE_IMAGES" "${provisioner[@]}" $KUBE_KUBELET
  done
  for n in $(nodes); do wait_for "kubelet-$n" grep -q ' ready$' "$KUBE_RUN/logs/kubelet-$n.log"; done
}

# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # names come from kubernetes.sh, which sources this file, and are used in its other files
# One instance: its settings, its ports, its processes.

KUBE_RUN=$(absolute "${KUBE_RUN:-$root/.stowage/kubernetes}")
KUBE_IMAGES=${KUBE_IMAGES:-$KUBE_RUN/images.json}
KUBE_KUBELET=${KUBE_KUBELET:-}
KUBE_NODE_GRACE=${KUBE_NODE_GRACE:-8}
KUBE_TOLERATION=${KUBE_TOLERATION:-2}
KUBE_WAIT=${KUBE_WAIT:-90}
first_port=16443 ports_apart=30 nodes_max=3

# What an instance was started with is kept beside its data, so that later calls need only KUBE_RUN.
kept() { sed -n "s/^$1=//p" "$KUBE_RUN/settings" 2>/dev/null || true; }
asked_port=${KUBE_PORT:-}
if [ -z "$asked_port" ] || [ "$asked_port" = auto ]; then KUBE_PORT=$(kept port); fi
KUBE_PORT=${KUBE_PORT:-${asked_port:-$first_port}}
KUBE_NODES=${KUBE_NODES:-$(kept nodes)}
KUBE_NODES=${KUBE_NODES:-1}

check_variables() {
  local name
  [ "$KUBE_PORT" = auto ] || { is_number "$KUBE_PORT" && [ "$KUBE_PORT" -ge 1 ] && [ "$KUBE_PORT" -le 65500 ]; } ||
    refuse "KUBE_PORT is a port up to 65500 or 'auto', not '$KUBE_PORT'"
  { is_number "$KUBE_NODES" && [ "$KUBE_NODES" -le $nodes_max ]; } || refuse "KUBE_NODES is 0 to $nodes_max, not '$KUBE_NODES'"
  for name in KUBE_NODE_GRACE KUBE_TOLERATION KUBE_WAIT; do
    is_number "${!name}" || refuse "$name is a number of seconds, not '${!name}'"
  done
  case $KUBE_RUN in *[[:space:]]*) refuse "KUBE_RUN must be a path without spaces: '$KUBE_RUN'" ;; esac
}

lock_instance() { take_lock "$KUBE_RUN/lock" 600; }

nodes() { seq "$KUBE_NODES"; }
server() { echo "https://127.0.0.1:$KUBE_PORT"; }
etcd_port() { echo $((KUBE_PORT + 1)); }
etcd_peer_port() { echo $((KUBE_PORT + 2)); }
controllers_port() { echo $((KUBE_PORT + 3)); }
scheduler_port() { echo $((KUBE_PORT + 4)); }
kubelet_port() { echo $((KUBE_PORT + 9 + $1)); }

# The second number of the addresses 127.N.x.y of a node's pods. Instances side by side share the loopback interface, so
# it follows from the port.
network() { echo $((10 + KUBE_PORT / ports_apart % 80 * nodes_max + $1 - 1)); }

# All processes of the instance, in the order in which they start.
processes() {
  printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler
  nodes | sed 's/^/kubelet-/'
}

# alive NAME: a process of ours, not another one that got the same pid
alive() {
  local file=$KUBE_RUN/pids/$1
  [ -f "$file" ] && grep -qszF -- "$KUBE_RUN/" "/proc/$(cat "$file")/cmdline"
}

any_alive() {
  local file
  for file in "$KUBE_RUN"/pids/*; do if [ -f "$file" ] && alive "${file##*/}"; then return 0; fi; done
  return 1
}

status() {
  local name state result=0
  [ -f "$KUBE_RUN/settings" ] || { echo "nothing was started in $KUBE_RUN"; return 1; }
  for name in $(processes); do
    state=stopped
    if alive "$name"; then state="running, pid $(cat "$KUBE_RUN/pids/$name")"; else result=1; fi
    printf '%-24s %s\n' "$name" "$state"
  done
  echo "KUBECONFIG=$KUBE_RUN/admin.kubeconfig"
  return "$result"
}

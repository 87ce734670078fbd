# shellcheck shell=bash
# shellcheck disable=SC2154  # names come from kubernetes.sh and the other files that it sources
# `kubernetes.sh down`: stop the processes of one instance, and on request remove its data.

down() {
  local name
  [ -d "$KUBE_RUN" ] || return 0
  KUBE_RUN=$(cd "$KUBE_RUN" && pwd)
  lock_instance
  # What was started last ends first.
  for name in $(KUBE_NODES=$nodes_max processes | tac); do stop_process "$name"; done
  [ "$1" != --wipe ] || rm -rf "$KUBE_RUN"/{certificates,logs,pids,nodes,etcd,accounts.key,images.json,settings,tokens.csv,cache} "$KUBE_RUN"/*.kubeconfig
}

# The API server drains for longer than anybody here wants to wait.
stop_process() {
  local name=$1 pid limit=$((SECONDS + 5))
  if alive "$name"; then
    pid=$(cat "$KUBE_RUN/pids/$name")
    # A paused process (SIGSTOP) hears of its end only when it goes on.
    { kill -TERM "$pid" && kill -CONT "$pid"; } 2>/dev/null || true
    while alive "$name"; do
      [ $SECONDS -lt $limit ] || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.1
    done
  fi
  rm -f "$KUBE_RUN/pids/$name"
}

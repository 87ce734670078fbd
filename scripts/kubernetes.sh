#!/usr/bin/env bash
# A real Kubernetes control plane on the loopback address, for tests and development. See `kubernetes.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$root/scripts/kubernetes

usage() {
  cat <<'HELP'
Kubernetes for development: etcd, API server, controllers and scheduler as they are, and kubelets for tests that run
pods as local processes. No root, no container engine; reached on 127.0.0.1 only.

  scripts/kubernetes.sh up              build once, start what does not run, wait until ready; prints KUBECONFIG=file
  scripts/kubernetes.sh down [--wipe]   stop; --wipe removes the cluster's data, too
  scripts/kubernetes.sh status          one line per process; exit status 1 unless all of them run
  scripts/kubernetes.sh build           only build; prints the program's path
  scripts/kubernetes.sh ready           exit status 0 if it is built, or could be

Each command may be given twice. Progress goes to standard error, so this works in a shell:
  export "$(scripts/kubernetes.sh up)"

The first `up` builds the control plane from its sources: about four minutes on two idle cores, 3 GB of disk while it
runs, 120 MB afterwards. Go fetches the sources as it is set up to (GOPROXY).

Variables
  KUBE_RUN         keys, data, logs, pid files of one instance      (default: .stowage/kubernetes of the repository)
  KUBE_PORT        the API server's port; the next 4 and 10 to 12 further belong to the instance, too;
                   "auto" takes the first free ones from 16443 on   (default: 16443, or as KUBE_RUN was started)
  KUBE_NODES       test kubelets, 0 to 3; with 0 pods stay Pending  (default: 1, or as KUBE_RUN was started)
  KUBE_IMAGES      JSON file, image -> program that stands for it   (default: images.json in KUBE_RUN)
  KUBE_KUBELET     further flags of the kubelets; --namespaces mounts volumes where pods expect them, and needs root
  KUBE_NODE_GRACE  seconds until a silent node is NotReady          (default: 8; clusters have 40 to 50)
  KUBE_TOLERATION  seconds until pods without tolerations of their own are evicted from it  (default: 2)
  KUBE_WAIT        seconds until `up` gives up waiting for a process                        (default: 90)
  STOWAGE_CACHE    where the built program is kept, safe to delete  (default: $XDG_CACHE_HOME/stowage or ~/.cache/stowage)

Faults that a test may throw, for node n below KUBE_RUN: SIGUSR1 to the process of pids/kubelet-n makes the node silent
while its pods' processes live on, SIGUSR2 brings it back. While a file nodes/node-n/faults/provision, .../image or
.../terminate exists, claims are not provisioned (node 1 only), images cannot be pulled, pods hang in Terminating.

Exit status: 0 done, 1 failed, 2 bad input.
HELP
}

me=kubernetes
# shellcheck source=scripts/instance.sh
. "$root/scripts/instance.sh"

read_command 'up down! status build ready' "$@"
shift
need_linux ""

# shellcheck source=scripts/kubernetes/instance.sh
. "$here/instance.sh"
# shellcheck source=scripts/kubernetes/build.sh
. "$here/build.sh"
# shellcheck source=scripts/kubernetes/up.sh
. "$here/up.sh"
# shellcheck source=scripts/kubernetes/down.sh
. "$here/down.sh"

case $command in
  up) up ;;
  down) down "${1:-}" ;;
  status) status ;;
  build) build; echo "$program" ;;
  ready) [ -x "$program" ] || need_go ;;
esac

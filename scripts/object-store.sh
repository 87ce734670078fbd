#!/usr/bin/env bash
# An S3 server on the loopback address, for tests and development. See `object-store.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=v1.8.0

usage() {
  cat <<'HELP'
An S3 server for development (versitygw, over a folder), reached on 127.0.0.1 only.

  scripts/object-store.sh up              build once, start, wait until ready; prints STOWAGE_TEST_S3=http://host:port
  scripts/object-store.sh down [--wipe]   stop; --wipe removes the data as well
  scripts/object-store.sh status          one line; exit status 1 unless it runs

Each command may be given twice. Progress goes to standard error, so this works in a shell:
  export "$(scripts/object-store.sh up)"

The keys are test-access and test-secret, the region us-east-1, the bucket is called lake. Buckets are the folders in
OBJECT_STORE_RUN/data, objects the files in them. With STOWAGE_TEST_S3 set, `up` starts nothing and prints that value.

Variables
  OBJECT_STORE_RUN    data, log, pid of one instance                          (default: .stowage/object-store of the repository)
  OBJECT_STORE_PORT   its port; "auto" takes the first free one from 19070 on  (default: 19070, or as it was started)
  STOWAGE_CACHE       where the program is kept, safe to delete                (default: $XDG_CACHE_HOME/stowage or ~/.cache/stowage)

Several instances side by side: give each an OBJECT_STORE_RUN of its own and OBJECT_STORE_PORT=auto.
Exit status: 0 done, 1 failed, 2 bad input.
HELP
}

say() { printf 'object-store: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
refuse() { say "$@"; say "see: scripts/object-store.sh --help"; exit 2; }

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  -h | --help | help) usage; exit 0 ;;
  up | status) [ $# -eq 0 ] || refuse "'$command' takes no argument, got '$1'" ;;
  down) { [ $# -eq 0 ] || [ "$*" = --wipe ]; } || refuse "'down' takes nothing but --wipe, got '$*'" ;;
  '') refuse "a command is needed: up, down or status" ;;
  *) refuse "unknown command '$command'" ;;
esac
[ "$(uname -s)" = Linux ] || die "this script needs Linux; with an S3 server of your own set STOWAGE_TEST_S3=http://host:port"

run=${OBJECT_STORE_RUN:-$root/.stowage/object-store}
case $run in /*) ;; *) run=$PWD/$run ;; esac
cache=${STOWAGE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or STOWAGE_CACHE}/.cache}/stowage}/object-store
program=$cache/versitygw-$version-$(uname -m)
first_port=19070
asked=${OBJECT_STORE_PORT:-}
port=$(cat "$run/port" 2>/dev/null || true)
case ${asked:-1} in
  auto) ;;
  *[!0-9]* | ??????*) refuse "OBJECT_STORE_PORT is a port up to 65535 or 'auto', not '$asked'" ;;
  *) [ "${asked:-1}" -le 65535 ] || refuse "OBJECT_STORE_PORT is a port up to 65535 or 'auto', not '$asked'" ;;
esac

# A process of ours, not another one that got the same pid.
alive() { [ -f "$run/pid" ] && grep -qszxF -- "$run/data" "/proc/$(cat "$run/pid")/cmdline"; }
is_taken() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
lock() {
  exec 9>"$1/lock"
  flock -w 600 9 || die "another object-store.sh has been holding $1/lock for 10 minutes"
}

# Once per version, all or nothing.
build() {
  local new
  [ ! -x "$program" ] || return 0
  command -v go >/dev/null 2>&1 || die "Go 1.25 or newer is needed once, to build the server, and was not found: see https://go.dev/doc/install"
  say "building versitygw $version, some minutes and 60 MB, into $cache"
  new=$(mktemp -d "$cache/.build.XXXXXX")
  GOBIN=$new go install -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@$version" >"$cache/build.log" 2>&1 9>&- || {
    rm -rf "$new"
    die "that failed ($(tail -n 1 "$cache/build.log" | cut -c 1-300)), see $cache/build.log"
  }
  mv "$new/versitygw" "$program"
  rmdir "$new"
}

choose_port() {
  if [ "$asked" != auto ]; then
    port=${asked:-${port:-$first_port}}
    if is_taken "$port"; then die "port $port is taken by another program; set OBJECT_STORE_PORT to another port, or to 'auto'"; fi
    return
  fi
  for port in $(seq "$first_port" 2 $((first_port + 400))); do
    if ! is_taken "$port"; then return; fi
  done
  die "no free port was found from $first_port on; set OBJECT_STORE_PORT"
}

up() {
  local limit
  if [ -n "${STOWAGE_TEST_S3:-}" ]; then
    say "using the server at $STOWAGE_TEST_S3, starting none"
    echo "STOWAGE_TEST_S3=$STOWAGE_TEST_S3"
    return
  fi
  mkdir -p "$cache" 2>/dev/null || die "the folder $cache cannot be made; set STOWAGE_CACHE"
  mkdir -p "$run/data/lake" 2>/dev/null || die "the folder $run cannot be made; set OBJECT_STORE_RUN"
  # One lock for all instances: those that choose a port at the same time wait for each other.
  lock "$cache"
  build
  if ! alive; then
    choose_port
    # setsid: Ctrl-C in the terminal reaches the caller, who then decides when the server stops.
    ROOT_ACCESS_KEY=test-access ROOT_SECRET_KEY=test-secret setsid "$program" --port "127.0.0.1:$port" \
      --region us-east-1 posix "$run/data" >"$run/server.log" 2>&1 9>&- </dev/null &
    echo $! >"$run/pid"
    echo "$port" >"$run/port"
  fi
  limit=$((SECONDS + 30))
  until is_taken "$port" && alive; do
    kill -0 "$(cat "$run/pid")" 2>/dev/null || { tail -n 5 "$run/server.log" >&2; die "the server ended while it started, see $run/server.log"; }
    [ $SECONDS -lt $limit ] || die "the server does not answer after 30 s, see $run/server.log"
    sleep 0.1
  done
  say "versitygw $version at http://127.0.0.1:$port"
  echo "STOWAGE_TEST_S3=http://127.0.0.1:$port"
}

down() {
  local limit=$((SECONDS + 10))
  if alive; then kill -TERM "$(cat "$run/pid")"; kill -CONT "$(cat "$run/pid")"; fi
  while alive; do
    [ $SECONDS -lt $limit ] || kill -KILL "$(cat "$run/pid")"
    sleep 0.1
  done
  rm -f "$run/pid"
  [ "${1:-}" != --wipe ] || rm -rf "$run/data" "$run/server.log" "$run/port"
}

status() {
  if alive; then echo "http://127.0.0.1:$port  running, pid $(cat "$run/pid")  $run"; return; fi
  echo "nothing runs in $run"
  return 1
}

case $command in
  up) up ;;
  down) down "${1:-}" ;;
  status) status ;;
esac

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

me=object-store
# shellcheck source=scripts/instance.sh
. "$root/scripts/instance.sh"

read_command 'up down! status' "$@"
need_linux "with an S3 server of your own set STOWAGE_TEST_S3=http://host:port"
run=$(absolute "${OBJECT_STORE_RUN:-$root/.stowage/object-store}")
cache=$(cache_of object-store)
program=$cache/versitygw-$version-$(uname -m)
first_port=19070
read_port OBJECT_STORE_PORT

# A process of ours, not another one that got the same pid.
alive() { [ -f "$run/pid" ] && grep -qszxF -- "$run/data" "/proc/$(cat "$run/pid")/cmdline"; }

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

up() {
  if [ -n "${STOWAGE_TEST_S3:-}" ]; then
    say "using the server at $STOWAGE_TEST_S3, starting none"
    echo "STOWAGE_TEST_S3=$STOWAGE_TEST_S3"
    return
  fi
  mkdir -p "$cache" 2>/dev/null || die "the folder $cache cannot be made; set STOWAGE_CACHE"
  mkdir -p "$run/data/lake" 2>/dev/null || die "the folder $run cannot be made; set OBJECT_STORE_RUN"
  # One lock for all instances: those that choose a port at the same time wait for each other.
  take_lock "$cache/lock" 600
  build
  if ! alive; then
    choose_port OBJECT_STORE_PORT
    start_process "$run/server.log" env ROOT_ACCESS_KEY=test-access ROOT_SECRET_KEY=test-secret \
      "$program" --port "127.0.0.1:$port" --region us-east-1 posix "$run/data"
  fi
  await_process server "$run/server.log" 30 is_taken "$port"
  say "versitygw $version at http://127.0.0.1:$port"
  echo "STOWAGE_TEST_S3=http://127.0.0.1:$port"
}

case $command in
  up) up ;;
  down)
    stop_process
    [ "${2:-}" != --wipe ] || rm -rf "$run/data" "$run/server.log" "$run/port"
    ;;
  status) show_process "http://127.0.0.1:$port" ;;
esac

#!/usr/bin/env bash
# An emulator of BigQuery on the loopback address, for tests and development. See `bigquery.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'HELP'
An emulator of BigQuery that no one here wrote (bqemulator, over DuckDB, in memory), reached on 127.0.0.1 only: REST and the
Storage Write API. Where it differs from the service, scripts/bigquery/known.txt says; for faults, change data and whatever else
is listed there, take the double: cargo run -p bigquery-double -- --help

  scripts/bigquery.sh up       install once (some minutes, 660 MB), start, wait until ready; prints two lines,
                               STOWAGE_TEST_BIGQUERY_REST=http://host:port and STOWAGE_TEST_BIGQUERY_GRPC=http://host:port
  scripts/bigquery.sh down     stop; what was stored is gone
  scripts/bigquery.sh status   one line; exit status 1 unless it runs

Each command may be given twice. Progress goes to standard error, so this works in a shell (without quotes: two lines):
  export $(scripts/bigquery.sh up)
  "$(scripts/python.sh)" scripts/bigquery/conformance.py --rest "$STOWAGE_TEST_BIGQUERY_REST" \
    --grpc "${STOWAGE_TEST_BIGQUERY_GRPC#http://}" --allow scripts/bigquery/known.txt

With both variables set, `up` starts nothing and prints them.

Variables
  BIGQUERY_RUN      log, pid of one instance                                  (default: .stowage/bigquery of the repository)
  BIGQUERY_PORT     its port, the next one for the Storage Write API; "auto" takes the first free ones from 19581 on
                                                                              (default: 19581, or as it was started)
  BIGQUERY_MEMORY   address space that it may take, in MB                     (default: 12000)
  STOWAGE_CACHE     where the program is kept, safe to delete                 (default: $XDG_CACHE_HOME/stowage or ~/.cache/stowage)

Several instances side by side: give each a BIGQUERY_RUN of its own and BIGQUERY_PORT=auto.
Exit status: 0 done, 1 failed, 2 bad input.
HELP
}

say() { printf 'bigquery: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
refuse() { say "$@"; say "see: scripts/bigquery.sh --help"; exit 2; }

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  -h | --help | help) usage; exit 0 ;;
  up | down | status) [ $# -eq 0 ] || refuse "'$command' takes no argument, got '$1'" ;;
  '') refuse "a command is needed: up, down or status" ;;
  *) refuse "unknown command '$command'" ;;
esac
[ "$(uname -s)" = Linux ] || die "this script needs Linux; with an emulator of your own set STOWAGE_TEST_BIGQUERY_REST and STOWAGE_TEST_BIGQUERY_GRPC"

run=${BIGQUERY_RUN:-$root/.stowage/bigquery}
case $run in /*) ;; *) run=$PWD/$run ;; esac
cache=${STOWAGE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or STOWAGE_CACHE}/.cache}/stowage}/bigquery
program=$root/scripts/bigquery/emulator.py
first_port=19581
asked=${BIGQUERY_PORT:-}
memory=${BIGQUERY_MEMORY:-12000}
port=$(cat "$run/port" 2>/dev/null || true)
case ${asked:-1} in
  auto) ;;
  *[!0-9]* | ??????*) refuse "BIGQUERY_PORT is a port up to 65534 or 'auto', not '$asked'" ;;
  *) [ "${asked:-1}" -le 65534 ] || refuse "BIGQUERY_PORT is a port up to 65534 or 'auto', not '$asked'" ;;
esac
case $memory in *[!0-9]* | '') refuse "BIGQUERY_MEMORY is a number of MB, not '$memory'" ;; esac

# A process of ours, not another one that got the same pid.
alive() {
  [ -f "$run/pid" ] || return 1
  grep -qszxF -- "$program" "/proc/$(cat "$run/pid")/cmdline" && grep -qszxF -- "$port" "/proc/$(cat "$run/pid")/cmdline"
}
is_taken() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
are_taken() { is_taken "$1" || is_taken "$(($1 + 1))"; }
addresses() {
  echo "STOWAGE_TEST_BIGQUERY_REST=http://127.0.0.1:$port"
  echo "STOWAGE_TEST_BIGQUERY_GRPC=http://127.0.0.1:$((port + 1))"
}
is_ready() {
  curl -fsS --noproxy '*' --max-time 2 "http://127.0.0.1:$port/bigquery/v2/projects/proj/datasets" >/dev/null 2>&1 && is_taken "$((port + 1))"
}

# The extension goes where DuckDB looks for it, so that no start needs the network.
install_extension() {
  [ ! -f "$home/.complete" ] || return 0
  mkdir -p "$home"
  HOME=$home "$python" -c 'import duckdb_extensions; duckdb_extensions.import_extension("spatial")' >"$cache/extension.log" 2>&1 9>&- ||
    die "DuckDB's extension cannot be put in place, see $cache/extension.log"
  touch "$home/.complete"
}

choose_port() {
  if [ "$asked" != auto ]; then
    port=${asked:-${port:-$first_port}}
    if are_taken "$port"; then die "port $port or $((port + 1)) is taken by another program; set BIGQUERY_PORT to another port, or to 'auto'"; fi
    return
  fi
  for port in $(seq "$first_port" 2 $((first_port + 400))); do
    if ! are_taken "$port"; then return; fi
  done
  die "no two free ports were found from $first_port on; set BIGQUERY_PORT"
}

start() {
  # A runaway test must not take the machine.
  ulimit -v $((memory * 1000))
  # setsid: Ctrl-C in the terminal reaches the caller, who then decides when the emulator stops.
  HOME=$home BQEMU_ENABLE_FORMAT_EXTENSIONS=false exec setsid "$python" "$program" start --rest-host 127.0.0.1 --rest-port "$port" \
    --grpc-host 127.0.0.1 --grpc-port $((port + 1)) --project proj --log-level warning
}

up() {
  local limit python home
  if [ -n "${STOWAGE_TEST_BIGQUERY_REST:-}" ] && [ -n "${STOWAGE_TEST_BIGQUERY_GRPC:-}" ]; then
    say "using $STOWAGE_TEST_BIGQUERY_REST and $STOWAGE_TEST_BIGQUERY_GRPC, starting none"
    printf '%s\n' "STOWAGE_TEST_BIGQUERY_REST=$STOWAGE_TEST_BIGQUERY_REST" "STOWAGE_TEST_BIGQUERY_GRPC=$STOWAGE_TEST_BIGQUERY_GRPC"
    return
  fi
  command -v curl >/dev/null 2>&1 || die "curl is needed. Debian: apt-get install curl"
  mkdir -p "$cache" 2>/dev/null || die "the folder $cache cannot be made; set STOWAGE_CACHE"
  mkdir -p "$run" 2>/dev/null || die "the folder $run cannot be made; set BIGQUERY_RUN"
  python=$("$root/scripts/python.sh" emulator) || exit 1
  home=$cache/$(basename "${python%/bin/python}")
  # One lock for all instances: those that choose a port at the same time wait for each other.
  exec 9>"$cache/lock"
  flock -w 600 9 || die "another bigquery.sh has been holding $cache/lock for 10 minutes"
  install_extension
  if ! alive; then
    choose_port
    start >"$run/emulator.log" 2>&1 9>&- </dev/null &
    echo $! >"$run/pid"
    echo "$port" >"$run/port"
  fi
  limit=$((SECONDS + 60))
  until is_ready && alive; do
    kill -0 "$(cat "$run/pid")" 2>/dev/null || { tail -n 5 "$run/emulator.log" >&2; die "the emulator ended while it started, see $run/emulator.log"; }
    [ $SECONDS -lt $limit ] || die "the emulator does not answer after 60 s, see $run/emulator.log"
    sleep 0.2
  done
  say "bqemulator at http://127.0.0.1:$port, Storage Write API at http://127.0.0.1:$((port + 1))"
  addresses
}

down() {
  local limit=$((SECONDS + 10))
  if alive; then kill -TERM "$(cat "$run/pid")"; fi
  while alive; do
    [ $SECONDS -lt $limit ] || kill -KILL "$(cat "$run/pid")"
    sleep 0.1
  done
  rm -f "$run/pid"
}

status() {
  if alive; then echo "http://127.0.0.1:$port  running, pid $(cat "$run/pid")  $run"; return; fi
  echo "nothing runs in $run"
  return 1
}

"$command"

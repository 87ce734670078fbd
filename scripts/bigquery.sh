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

me=bigquery
is_pair=1
# shellcheck source=scripts/instance.sh
. "$root/scripts/instance.sh"

read_command 'up down status' "$@"
need_linux "with an emulator of your own set STOWAGE_TEST_BIGQUERY_REST and STOWAGE_TEST_BIGQUERY_GRPC"
run=$(absolute "${BIGQUERY_RUN:-$root/.stowage/bigquery}")
cache=$(cache_of bigquery)
program=$root/scripts/bigquery/emulator.py
first_port=19581
read_port BIGQUERY_PORT
memory=${BIGQUERY_MEMORY:-12000}
case $memory in *[!0-9]* | '') refuse "BIGQUERY_MEMORY is a number of MB, not '$memory'" ;; esac

# A process of ours, not another one that got the same pid.
alive() {
  [ -f "$run/pid" ] || return 1
  grep -qszxF -- "$program" "/proc/$(cat "$run/pid")/cmdline" && grep -qszxF -- "$port" "/proc/$(cat "$run/pid")/cmdline"
}
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

# In a shell of its own, for the limit: a runaway test must not take the machine.
start() (
  ulimit -v $((memory * 1000))
  HOME=$home BQEMU_ENABLE_FORMAT_EXTENSIONS=false start_process "$run/emulator.log" "$python" "$program" start --rest-host 127.0.0.1 \
    --rest-port "$port" --grpc-host 127.0.0.1 --grpc-port $((port + 1)) --project proj --log-level warning
)

up() {
  local python home
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
  take_lock "$cache/lock" 600
  install_extension
  if ! alive; then
    choose_port BIGQUERY_PORT
    start
  fi
  await_process emulator "$run/emulator.log" 60 is_ready
  say "bqemulator at http://127.0.0.1:$port, Storage Write API at http://127.0.0.1:$((port + 1))"
  addresses
}

case $command in
  up) up ;;
  down) stop_process ;;
  status) show_process "http://127.0.0.1:$port" ;;
esac

#!/usr/bin/env bash
# Shows the whole system at work on this machine. See `demo.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/supervise.sh
. "$root/scripts/supervise.sh"

usage() {
  cat <<'HELP'
Starts Apache Kafka, the monitor, the orchestrator and its consumers on this machine, produces a load that rises and
falls, and shows on one live page how the fleet grows and shrinks while records become Parquet files. At the end every
record is verified and a summary printed.

  scripts/demo.sh [OPTION ...]

  --seconds N        end after N seconds                                  (default: go on until Ctrl-C)
  --partitions N     partitions of the topic                              (default: 16)
  --rate N           bytes per second at the peak, all partitions together (default: 4000000)
  --input FILE       replay a file of JSON lines, from its start again when it ends, instead of generated events
  --kill-every N     kill a random consumer with SIGKILL every N seconds
  --report FILE      write the summary as JSON
  --keep             leave Kafka running at the end, with its data

What is missing is installed first, or named (scripts/setup.sh). With KAFKA_BOOTSTRAP_SERVERS set, the demo runs on that
Kafka and starts none. Ctrl-C stops everything cleanly, a second one at once. Everything is written below
.stowage/demo of the repository; the lake stays there. CARGO_TARGET_DIR is honoured.
Exit status: 0 nothing lost and nothing duplicated, 1 otherwise, 2 bad input.
HELP
}

say() { printf 'demo: %s\n' "$*" >&2; }
refuse() { say "$1; see: scripts/demo.sh --help"; exit 2; }

options=() keep=0
number() { case $2 in '' | *[!0-9]* | 0* | ???????????*) refuse "$1 takes a whole number above zero, not '$2'" ;; esac; }
read_options() {
  local option value
  while [ $# -gt 0 ]; do
    option=$1
    shift
    case $option in
      -h | --help) usage; exit 0 ;;
      --keep) keep=1; continue ;;
      --*=*) value=${option#*=} option=${option%%=*} ;;
      --*) value=${1-}; [ $# -eq 0 ] || shift ;;
      *) refuse "unknown argument '$option'" ;;
    esac
    case $option in
      --seconds | --partitions | --rate | --kill-every) number "$option" "$value" ;;
      --input) { [ -f "$value" ] && [ -r "$value" ]; } || refuse "--input names '$value', which is no file that can be read" ;;
      --report) { [ -n "$value" ] && [ ! -d "$value" ] && [ -w "$(dirname "$value")" ]; } || refuse "--report names '$value', which cannot be written" ;;
      *) refuse "unknown option '$option'" ;;
    esac
    options+=("$option" "$value")
  done
}

start_kafka() {
  export KAFKA_RUN=$run/kafka KAFKA_PORT=${KAFKA_PORT:-auto}
  server=$("$root/scripts/kafka.sh" up) || exit 1
}

stop_kafka() {
  [ -d "$run/kafka" ] && [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ] || return 0
  if [ "$keep" = 1 ] && [ -n "$server" ]; then
    say "Kafka still runs at ${server#*=}; stop it with: KAFKA_RUN=$run/kafka $root/scripts/kafka.sh down --wipe"
  else
    "$root/scripts/kafka.sh" down --wipe && rm -rf "$run/kafka"
  fi
}

finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  stop_kafka || true
  # What the demo started has ended by now, unless it was killed.
  [ "$keep" = 1 ] || stop_marked
  rmdir "$run" 2>/dev/null || true
  if compgen -G "$run/lake/*/partition=*/*.parquet" >/dev/null; then
    printf 'The lake is in %s; query it with:\n' "$run/lake"
    printf '%s -c "import duckdb; duckdb.sql(\\"select kafka_topic, count(*) from read_parquet('\''%s/*/partition=*/*.parquet'\'', union_by_name=true) group by all\\").show()"\n' \
      "\"\$($root/scripts/python.sh)\"" "$run/lake"
  fi
  exit "$status"
}

# A function, so that editing this file does not disturb a run.
main() {
  read_options "$@"
  run=$root/.stowage/demo/$(date +%Y%m%d-%H%M%S)-$$
  server=
  "$root/scripts/setup.sh" || exit 1
  say "building (minutes the first time, with progress below; seconds after that)"
  programs=$(build_programs "$root") || { say "the build failed"; exit 1; }
  mkdir -p "$run" || exit 1
  trap finish EXIT
  trap 'ask_to_end INT 130' INT
  trap 'ask_to_end TERM 143' TERM HUP
  mark_children demo
  if [ -n "${KAFKA_BOOTSTRAP_SERVERS:-}" ]; then server=KAFKA_BOOTSTRAP_SERVERS=$KAFKA_BOOTSTRAP_SERVERS; else start_kafka; fi
  run_apart env -u KAFKA_RUN -u KAFKA_PORT "$server" "$programs/e2e" demo --directory "$run" "${options[@]}"
}

main "$@"; exit

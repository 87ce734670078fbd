#!/usr/bin/env bash
# Does faults to the whole system on this machine, and verifies every record. See `chaos.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/supervise.sh
. "$root/scripts/supervise.sh"

usage() {
  cat <<'HELP'
Starts Apache Kafka, a monitor, two orchestrators and their consumers on this machine, produces a load that rises and
falls, and does faults to all of them: processes killed, frozen and asked to end, the broker restarted, connections cut,
volumes wiped, corrupted, full and read-only, the lake full and read-only, dead letters that cannot be written.
At the end every record is verified and a report printed: docs/chaos.md says what it means.

  scripts/chaos.sh [OPTION ...]

  --sink NAME        where rows go: parquet, a lake, which is full or read-only now and then; or bigquery, its
                     double, which loses answers, hangs, refuses, forgets  (default: parquet)
  --kills N          how many faults; from 22 on (27 with bigquery) there is one of each kind
                                                                           (default: 22)
  --crash-points     instead: one process dies at each place before and after a message, a write, a commit
  --sink-faults      instead: each fault of the sink, a consumer that is frozen, and one that dies at each such place
  --seed N           equal seeds give equal faults                          (default: 1)
  --seconds N        spread the faults over N seconds, so that they overlap
                     (default: each waits until the one before is recovered from, 15 s or so for each)
  --partitions N     partitions of the topic                                (default: 12)
  --rate N           bytes per second at the peak, all partitions together  (default: 600000)
  --report FILE      write the report as JSON

What is missing is installed first, or named (scripts/setup.sh). The broker is always one of its own, since it is
restarted. Folders that are full or read-only need the right to mount: without it these faults are left out, and the
report says so. Ctrl-C lifts what lasts, does nothing further and verifies; a second one ends everything at once.
Everything is written below .stowage/chaos of the repository; logs and lake stay there. CARGO_TARGET_DIR is honoured.
Exit status: 0 nothing lost and nothing duplicated, 1 otherwise, 2 bad input.
HELP
}

say() { printf 'chaos: %s\n' "$*" >&2; }
refuse() { say "$1; see: scripts/chaos.sh --help"; exit 2; }

options=()
number() { case $2 in '' | *[!0-9]* | 0* | ???????????*) refuse "$1 takes a whole number above zero, not '$2'" ;; esac; }
read_options() {
  local option value
  while [ $# -gt 0 ]; do
    option=$1
    shift
    case $option in
      -h | --help) usage; exit 0 ;;
      --crash-points | --sink-faults) options+=("$option"); continue ;;
      --*=*) value=${option#*=} option=${option%%=*} ;;
      --*) value=${1-}; [ $# -eq 0 ] || shift ;;
      *) refuse "unknown argument '$option'" ;;
    esac
    case $option in
      --kills | --seed | --seconds | --partitions | --rate) number "$option" "$value" ;;
      --sink) case $value in parquet | bigquery) ;; *) refuse "--sink takes parquet or bigquery, not '$value'" ;; esac ;;
      --report) { [ -n "$value" ] && [ ! -d "$value" ] && [ -w "$(dirname "$value")" ]; } || refuse "--report names '$value', which cannot be written" ;;
      *) refuse "unknown option '$option'" ;;
    esac
    options+=("$option" "$value")
  done
}

# Mounts of a run that is killed go away with it.
apart_from_other_mounts() {
  local wrapper
  for wrapper in "unshare --mount" "unshare --map-root-user --mount"; do
    if $wrapper true 2>/dev/null; then echo "$wrapper"; return; fi
  done
}

finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  # What was started has ended by now, unless it was killed.
  stop_marked
  rm -rf "$run/kafka"
  rmdir "$run/state" "$run/lake" 2>/dev/null || true
  if [ -d "$run/kept" ]; then say "logs and lake are in $run and its folder kept"; fi
  rmdir "$run" 2>/dev/null || true
  exit "$status"
}

# A function, so that editing this file does not disturb a run.
main() {
  read_options "$@"
  run=$root/.stowage/chaos/$(date +%Y%m%d-%H%M%S)-$$
  "$root/scripts/setup.sh" || exit 1
  say "building (minutes the first time, with progress below; seconds after that)"
  programs=$(build_programs "$root") || { say "the build failed"; exit 1; }
  mkdir -p "$run" || exit 1
  trap finish EXIT
  trap 'ask_to_end INT 130' INT
  trap 'ask_to_end TERM 143' TERM HUP
  mark_children chaos
  # shellcheck disable=SC2046  # several words, or none
  run_apart $(apart_from_other_mounts) env -u KAFKA_RUN -u KAFKA_PORT -u KAFKA_BOOTSTRAP_SERVERS -u LOG_FILTER \
    "$programs/e2e" --log-filter error,rdkafka=off,librdkafka=off chaos --directory "$run" "${options[@]}"
}

main "$@"; exit

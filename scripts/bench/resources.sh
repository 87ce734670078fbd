#!/usr/bin/env bash
# Measures what the three services need of CPU and memory. See `resources.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/supervise.sh
. "$root/scripts/supervise.sh"

usage() {
  cat <<'HELP'
Runs monitor, orchestrator and consumers against a real Kafka on this machine, and prints for each service the CPU that one
process took on average and at most (in thousandths of a core, second by second), and the most memory that it held: idle, under a
load, and while one consumer catches up with all that was written meanwhile.

  scripts/bench/resources.sh [--programs FOLDER] [--partitions N] [--rate N] [--seconds N]

  --programs FOLDER   where monitor, orchestrator, consumer and e2e are       (default: those of this machine's cargo, with release)
  --partitions N      of the topic                                                                (default: 64)
  --rate N            bytes per second, all partitions together                                   (default: 20000000)
  --seconds N         how long each of the three lasts                                            (default: 60)

Logs and the lake lie in .stowage/resources and go at the end. Exit status: 0 done, 1 failed, 2 bad input.
HELP
}

say() { printf 'resources: %s\n' "$*" >&2; }
refuse() { say "$1; see: scripts/bench/resources.sh --help"; exit 2; }

programs='' partitions=64 rate=20000000 seconds=60
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --programs | --partitions | --rate | --seconds)
      [ $# -gt 1 ] || refuse "$1 needs a value"
      declare "${1#--}=$2"
      shift
      ;;
    *) refuse "unknown argument '$1'" ;;
  esac
  shift
done
for number in "$partitions" "$rate" "$seconds"; do
  case $number in '' | *[!0-9]* | 0* | ??????????*) refuse "'$number' is no whole number above zero" ;; esac
done

build_release() {
  cd "$root"
  cargo build --locked --release --workspace --bin monitor --bin orchestrator --bin consumer --bin e2e >&2
  echo "$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release"
}

# Hundredths of a second of CPU, and the most memory held so far in kB.
used() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '{ print $12 + $13 }'; }
held() { awk '/^VmHWM/ { print $2 }' "/proc/$1/status" 2>/dev/null; }

# sample FILE: a line `second service pid used held` each second for each process of ours, until it is ended
sample() {
  local service pid cpu memory second=0
  while :; do
    for pid in $(marked); do
      service=$(readlink "/proc/$pid/exe" 2>/dev/null || true)
      cpu=$(used "$pid" || true) memory=$(held "$pid" || true)
      if [ -n "$cpu" ] && [ -n "$memory" ]; then echo "$second ${service##*/} $pid $cpu $memory"; fi
    done >>"$1"
    second=$((second + 1))
    sleep 1
  done
}

# Only what one process did from one second to the next counts, so that those that begin or end meanwhile do no harm.
table() {
  awk -v what="$1" '
    { key = $2 " " $3 }
    key in before { used[$2] += $4 - before[key]; count[$2]++; if ($4 - before[key] > most[$2]) most[$2] = $4 - before[key] }
    { before[key] = $4; if ($5 > held[$2]) held[$2] = $5; if (!(key in seen)) { seen[key] = 1; processes[$2]++ } }
    END {
      split("monitor orchestrator consumer", order)
      for (i = 1; i <= 3; i++) if (count[order[i]])
        printf "| %s | %s | %d | %d | %d | %d |\n", what, order[i], processes[order[i]], used[order[i]] * 10 / count[order[i]], most[order[i]] * 10, held[order[i]] / 1024
    }' "$2"
}

# measure WHAT COMMAND...: prints a table of what the services did while COMMAND ran
measure() {
  local what=$1 sampler file=$run/samples-${1// /-}
  shift
  say "$what, $seconds s"
  : >"$file"
  sample "$file" &
  sampler=$!
  "$@" >>"$run/commands.log" 2>&1 || { kill $sampler; tail -n 5 "$run/commands.log" >&2; return 1; }
  kill $sampler
  wait $sampler 2>/dev/null || true
  table "$what" "$file"
}

tell() { "$programs/orchestrator" "$@" --kafka-bootstrap-servers "$KAFKA_BOOTSTRAP_SERVERS" >>"$run/commands.log" 2>&1; }

start_services() {
  local common=(--kafka-bootstrap-servers "$KAFKA_BOOTSTRAP_SERVERS" --listen 127.0.0.1:0)
  "$programs/monitor" run "${common[@]}" >"$run/monitor.log" 2>&1 &
  "$programs/orchestrator" run "${common[@]}" --state-dir "$run/state" --sink-url "file://$run/lake" "$@" >"$run/orchestrator.log" 2>&1 &
}

finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  stop_marked
  KAFKA_RUN=$run/kafka "$root/scripts/kafka.sh" down --wipe || true
  if [ "$status" = 0 ]; then rm -rf "$run"; else say "logs: $run"; fi
  exit "$status"
}

main() {
  local load
  programs=$(cd "${programs:-$(build_release)}" && pwd)
  run=$root/.stowage/resources
  rm -rf "$run"
  mkdir -p "$run/lake"
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  unset KAFKA_BOOTSTRAP_SERVERS
  export "$(KAFKA_RUN=$run/kafka KAFKA_PORT=auto "$root/scripts/kafka.sh" up)"
  mark_children resources
  load=("$programs/e2e" load --topic orders --partitions "$partitions" --rate "$rate" --seconds "$seconds" --kafka-bootstrap-servers "$KAFKA_BOOTSTRAP_SERVERS")
  echo '| while | service | processes | CPU on average | CPU at most | memory at most, MiB |'
  echo '|---|---|---|---|---|---|'
  start_services --min-consumers 1
  measure idle sleep "$seconds"
  tell service set orders
  measure "under load" "${load[@]}"
  # Whoever is started anew has not held anything yet.
  stop_marked
  "${load[@]}" >>"$run/commands.log" 2>&1
  start_services --max-consumers 1
  measure "catching up" sleep "$seconds"
}

main

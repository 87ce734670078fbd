#!/usr/bin/env bash
# Feeds made-up bytes to everything that decodes bytes of others. See `fuzz.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'HELP'
Runs the fuzz targets with libFuzzer: every decoder that reads from Kafka, from the disk or from a socket.

  scripts/fuzz.sh [--seconds N] [TARGET ...]

  --seconds N   for each target                       (default: 60)
  TARGET        a name in scripts/fuzz/src; all of them unless given

Each begins with its seeds in scripts/fuzz/seeds. What it finds out stays in .stowage/fuzz, so that the next run goes on
there; bytes that break a target are kept there, too, and named. Put them into the seeds once it is mended.
Exit status: 0 nothing broke, 1 something did, 2 bad input.
HELP
}

seconds=60 chosen=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --seconds) seconds=${2-}; shift ;;
    --seconds=*) seconds=${1#*=} ;;
    -*) echo "fuzz: unknown option '$1'; see: scripts/fuzz.sh --help" >&2; exit 2 ;;
    *) chosen+=("$1") ;;
  esac
  [ $# -eq 0 ] || shift
done
case $seconds in '' | *[!0-9]* | 0*) echo "fuzz: --seconds takes a whole number above zero, not '$seconds'" >&2; exit 2 ;; esac

cd "$root"
mapfile -t targets < <(find scripts/fuzz/src -name '*.rs' -printf '%f\n' | sed 's/\.rs$//' | sort)
for name in "${chosen[@]}"; do
  [ -f "scripts/fuzz/src/$name.rs" ] || { echo "fuzz: there is no target '$name'; there are: ${targets[*]}" >&2; exit 2; }
done
[ ${#chosen[@]} = 0 ] || targets=("${chosen[@]}")

# Dependencies are those of every other build; only crates of the workspace are compiled anew, with counters.
RUSTC_WORKSPACE_WRAPPER=$root/scripts/fuzz/instrument.sh \
  cargo build --workspace ${CI:+--locked} "${targets[@]/#/--bin=fuzz_}"

kept=$root/.stowage/fuzz
failed=()
for name in "${targets[@]}"; do
  mkdir -p "$kept/$name/found" "$kept/$name/broken"
  log=$kept/$name/log
  if "${CARGO_TARGET_DIR:-target}/debug/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -artifact_prefix="$kept/$name/broken/" "$kept/$name/found" "scripts/fuzz/seeds/$name" >"$log" 2>&1; then
    echo "fuzz: $name: $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "$log"), nothing broke"
  else
    failed+=("$name")
    tail -n 30 "$log"
    echo "fuzz: $name BROKE; the bytes are in $kept/$name/broken, the whole log is $log"
  fi
done
[ ${#failed[@]} = 0 ] || { echo "fuzz: broke: ${failed[*]}" >&2; exit 1; }

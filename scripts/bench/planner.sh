#!/usr/bin/env bash
# Measures the planner against the published heuristics. See `planner.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

case ${1:-} in
  -h | --help)
    cat <<'HELP'
Prints consumers (CBS) and movement (R-score) of the twelve published heuristics and of ours at several prices, over the
streams of the papers: docs/planning.md says what they mean.

  scripts/bench/planner.sh [OPTION ...]

  --partitions 32,100   --deltas 5,10,15,20,25   --seeds 101..120   --iterations 500   --prices inf,1000,750

Prices are in thousandths of a consumer's capacity. P = 32 takes minutes, P = 100 about an hour, P = 200 several hours on
one core. The first build takes minutes, too. With `--speed` it measures the time of a plan by its size instead.
HELP
    exit 0
    ;;
  --speed)
    shift
    cd "$root"
    exec cargo bench --package orchestrator --bench plans -- "$@"
    ;;
esac
cd "$root"
exec cargo run --release --package orchestrator --example front -- "$@"

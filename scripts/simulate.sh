#!/usr/bin/env bash
# Runs histories of the simulation. See `simulate.sh --help`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'HELP'
Runs the simulation of orchestrators and consumers (scripts/e2e/tests/simulation): seeded histories full of faults, in
virtual time, with every promise of the protocol checked that can be.

  scripts/simulate.sh                       as many histories as the tests run
  scripts/simulate.sh --seeds N [--from S]  N of them, from seed S on
  scripts/simulate.sh --seed S              one, and what happened last in it

The first that fails is shown: what led to it, and how to repeat it. CARGO_TARGET_DIR is honoured.
Exit status: 0 all are sound, 2 bad input, else the test's.
HELP
}

number() {
  case $2 in '' | *[!0-9]*) echo "simulate: $1 takes a number, got '$2'" >&2; exit 2 ;; esac
  printf '%s' "$2"
}

while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --seeds) STOWAGE_SEEDS=$(number "$1" "${2:-}"); export STOWAGE_SEEDS; shift ;;
    --from) STOWAGE_SEEDS_FROM=$(number "$1" "${2:-}"); export STOWAGE_SEEDS_FROM; shift ;;
    --seed) STOWAGE_SEED=$(number "$1" "${2:-}"); export STOWAGE_SEED; shift ;;
    *) echo "simulate: unknown option '$1'; see: scripts/simulate.sh --help" >&2; exit 2 ;;
  esac
  shift
done

exec cargo test --workspace --test simulation -- --nocapture

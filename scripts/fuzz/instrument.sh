#!/usr/bin/env bash
# Compiles a crate of the workspace with the counters that libFuzzer goes by. Called by cargo: see scripts/fuzz.sh.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1

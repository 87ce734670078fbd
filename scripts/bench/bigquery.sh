#!/usr/bin/env bash
# Measures what it costs to store records in BigQuery, beside Google's own client. See `bigquery.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/scripts/bench
me=bigquery
# shellcheck source=scripts/supervise.sh
. "$root/scripts/supervise.sh"
# shellcheck source=scripts/bench/stage.sh
. "$here/stage.sh"

usage() {
  cat <<'HELP'
MB per CPU second, rows/s and peak memory of one consumer and of Google's client for Python, in alternating rounds: each stores the
same topics of 8 partitions, Avro and JSON, in a double of BigQuery, which is a process of its own and whose cost is not counted.
Then how fast rows are encoded, without Kafka and BigQuery. Prints medians, ranges and ratios; docs/performance.md says what they mean.

  scripts/bench/bigquery.sh [OPTION ...]

  --rounds N            rounds                                           (default: 3)
  --records N           records in each topic                            (default: 2000000)
  --deliveries LIST     the consumer's option `delivery`, with commas    (default: exactly_once,at_least_once)
  --without-google      leave Google's client out
  --without-encoding    leave the encoding alone out
  --json FILE           write every single result
  --fresh               fill the topics again
  --consumer PROGRAM    a consumer that is built                         (default: cargo builds one with --release)
  --e2e PROGRAM         an e2e that is built, which fills topics         (default: the same)
  --double PROGRAM      a bigquery-double that is built                  (default: the same)

It starts a Kafka of its own, on 127.0.0.1, and stops it in the end; the topics stay for the next run in .stowage/bench
(BENCH_RUN), which may be deleted. Needs Python 3.10 with venv; Google's client is installed once (150 MB). The double keeps all
rows in memory: about 1 GB for two million. Measure on a machine that does nothing else: the load at each round is printed.

Variables: BENCH_RUN, BENCH_HEAP (Kafka's heap, default 1g), STOWAGE_CACHE, JAVA_HOME, CARGO_TARGET_DIR
Exit status: 0 done, 1 failed, 2 bad input, 130 and 143 ended by a signal.
HELP
}

rounds=3 records=2000000 deliveries=exactly_once,at_least_once google=1 encoding=1 fresh=0 json='' consumer='' e2e='' bigquery_double=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --without-google) google=0; shift; continue ;;
    --without-encoding) encoding=0; shift; continue ;;
    --fresh) fresh=1; shift; continue ;;
    --rounds | --records | --deliveries | --json | --consumer | --e2e | --double)
      { [ $# -gt 1 ] && [ -n "$2" ]; } || refuse "'$1' needs a value" ;;
    *) refuse "unknown option '$1'" ;;
  esac
  case $1 in
    --rounds) rounds=$2 ;;
    --records) records=$2 ;;
    --deliveries) deliveries=$2 ;;
    --json) json=$2 ;;
    --consumer) consumer=$2 ;;
    --e2e) e2e=$2 ;;
    --double) bigquery_double=$2 ;;
  esac
  shift 2
done
check_counts
check_files "$json"
check_programs "$consumer" "$e2e" "$bigquery_double"
case ,$deliveries, in *,,* | *[!a-z_,]*) refuse "--deliveries is a list such as exactly_once,at_least_once, not '$deliveries'" ;; esac
command -v python3 >/dev/null || die "'python3' is needed. Debian: apt-get install python3-venv"
prepare

# The targets: 30 MB of Avro per CPU second, 100 MB/s encoded by one thread.
encode_alone() {
  say "encoding alone"
  (cd "$root" && cargo bench --workspace --bench bigquery_rows) >"$run/encoding.log" 2>&1 8>&- ||
    die "that failed: $(tail -n 3 "$run/encoding.log")"
  printf '\nencoding alone, one thread:\n'
  grep -E '^bigquery_rows|time:|thrpt:' "$run/encoding.log"
}

build_release consumer e2e bigquery-double
client=()
if [ "$google" = 1 ]; then
  python=$("$root/scripts/python.sh" bench) || die "Google's client cannot be installed; or: --without-google"
  client=(--google-python "$python")
fi
# A kilobyte for each record of both topics.
set_stage $((1024 + records / 1000))
fill "orders-avro-$records" 8 "$records" avro
fill "orders-json-$records" 8 "$records" json
measure_with --double "$bigquery_double" --avro-topic "orders-avro-$records" --json-topic "orders-json-$records" \
  --deliveries "$deliveries" "${client[@]}"
if [ "$encoding" = 1 ]; then encode_alone; fi

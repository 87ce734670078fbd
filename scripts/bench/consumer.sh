#!/usr/bin/env bash
# Measures what the consumer costs, beside librdkafka alone and Kafka Connect. See `consumer.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/scripts/bench
# shellcheck source=scripts/supervise.sh
. "$root/scripts/supervise.sh"

usage() {
  cat <<'HELP'
CPU seconds per GB, MB/s and peak memory of one consumer, of librdkafka alone and of Kafka Connect's sinks, in alternating rounds
over the same topics; prints medians, ranges and ratios as tables. docs/performance.md says what they mean.

  scripts/bench/consumer.sh [OPTION ...]            JSON and Avro, discarded and stored as Parquet
  scripts/bench/consumer.sh --spread [OPTION ...]   one consumer over 1, 8, 64 and 512 partitions, and over 1, 8 and 64 topics

  --rounds N            rounds                                           (default: 3)
  --records N           records in each topic, of all topics in --spread (default: 2000000)
  --without-connect     leave Kafka Connect out
  --bigquery            Avro into a double of BigQuery, too, whose own cost is not counted
  --json FILE           write every single result
  --svg FILE            with --spread: write a drawing                   (default: docs/performance.svg)
  --fresh               fill the topics again
  --consumer PROGRAM    a consumer that is built                         (default: cargo builds one with --release)
  --e2e PROGRAM         an e2e that is built, which fills topics         (default: the same)
  --double PROGRAM      with --bigquery: a bigquery-double that is built (default: the same)
  --librdkafka FOLDER   with --consumer: librdkafka.a and rdkafka.h that it was built with
                        (default: the newest rdkafka-sys beside the program, build/rdkafka-sys-*/out/src)

It starts a Kafka of its own, on 127.0.0.1, and stops it in the end; the topics stay for the next run in .stowage/bench
(BENCH_RUN), which may be deleted. Needs a C compiler, Python 3.10, OpenSSL and zlib to compile with; for Kafka Connect Maven once (90 MB).
Measure on a machine that does nothing else: the load at each round is printed.

Variables: BENCH_RUN, BENCH_HEAP (Kafka's heap, default 1g), CONNECT_HEAP (default 2g), STOWAGE_CACHE, JAVA_HOME, CARGO_TARGET_DIR
Exit status: 0 done, 1 failed, 2 bad input, 130 and 143 ended by a signal.
HELP
}

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
refuse() { say "$@"; say "see: scripts/bench/consumer.sh --help"; exit 2; }
is_count() { case $1 in '' | 0* | *[!0-9]* | ??????????*) return 1 ;; esac; }

rounds=3 records=2000000 spread=0 connect=1 fresh=0 bigquery=0 json='' svg='' consumer='' e2e='' double='' librdkafka=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --spread) spread=1; shift; continue ;;
    --without-connect) connect=0; shift; continue ;;
    --fresh) fresh=1; shift; continue ;;
    --bigquery) bigquery=1; shift; continue ;;
    --rounds | --records | --json | --svg | --consumer | --e2e | --double | --librdkafka)
      { [ $# -gt 1 ] && [ -n "$2" ]; } || refuse "'$1' needs a value" ;;
    *) refuse "unknown option '$1'" ;;
  esac
  case $1 in
    --rounds) rounds=$2 ;;
    --records) records=$2 ;;
    --json) json=$2 ;;
    --svg) svg=$2 ;;
    --consumer) consumer=$2 ;;
    --e2e) e2e=$2 ;;
    --double) double=$2 ;;
    --librdkafka) librdkafka=$2 ;;
  esac
  shift 2
done
{ is_count "$rounds" && [ "$rounds" -le 100 ]; } || refuse "--rounds is a number from 1 to 100, not '$rounds'"
{ is_count "$records" && [ "$records" -ge 1000 ] && [ "$records" -le 50000000 ]; } ||
  refuse "--records is a number from 1000 to 50000000, not '$records'"
[ "$spread" = 1 ] || [ -z "$svg" ] || refuse "--svg belongs to --spread"
[ "$bigquery" = 1 ] || [ -z "$double" ] || refuse "--double belongs to --bigquery"
[ -n "$consumer" ] || [ -z "$librdkafka" ] || refuse "--librdkafka belongs to --consumer"
for file in "$json" "$svg"; do
  [ -z "$file" ] || [ -d "$(dirname "$file")" ] || refuse "there is no folder $(dirname "$file") to write '$file' into"
done
for program in "$consumer" "$e2e" "$double"; do
  [ -z "$program" ] || { [ -f "$program" ] && [ -x "$program" ]; } || refuse "'$program' is not a program"
done
[ -z "$librdkafka" ] || { [ -f "$librdkafka/librdkafka.a" ] && [ -f "$librdkafka/rdkafka.h" ]; } ||
  refuse "'$librdkafka' holds no librdkafka.a and rdkafka.h"
[ "$(uname -s)" = Linux ] || die "this script needs Linux: it reads memory and processor time from /proc"
[ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ] || refuse "KAFKA_BOOTSTRAP_SERVERS is set, and this script measures on a Kafka of its own: unset it"
for tool in cc python3; do command -v "$tool" >/dev/null || die "'$tool' is needed. Debian: apt-get install gcc python3 libssl-dev zlib1g-dev"; done
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "Python 3.10 or newer is needed"

run=${BENCH_RUN:-$root/.stowage/bench}
case $run in /*) ;; *) run=$PWD/$run ;; esac
cache=${STOWAGE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or STOWAGE_CACHE}/.cache}/stowage}/connect
work=$run/work
mkdir -p "$run/filled" "$cache" 2>/dev/null || die "the folders $run and $cache cannot be made; set BENCH_RUN and STOWAGE_CACHE"
exec 8>"$run/lock"
flock -n 8 || die "another run uses $run; wait for it, or set BENCH_RUN"
case ${CARGO_TARGET_DIR:-} in '' | /*) ;; *) export CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac

# Builds what was not given. Cargo says where it built the very librdkafka that the consumer holds.
build() {
  local target
  if [ -z "$consumer" ] || [ -z "$e2e" ] || { [ "$bigquery" = 1 ] && [ -z "$double" ]; }; then
    say "building with --release, which takes many minutes the first time"
    (cd "$root" && cargo build --release --workspace --bin consumer --bin e2e --bin bigquery-double --message-format=json-render-diagnostics) >"$run/build.json" ||
      die "the programs could not be built"
    target=$(sed -n 's/.*"executable":"\([^"]*\)\/e2e".*/\1/p' "$run/build.json")
    e2e=${e2e:-$target/e2e}
    double=${double:-$target/bigquery-double}
    if [ -z "$consumer" ]; then
      consumer=$target/consumer
      librdkafka=$(built_in rdkafka-sys)/src
      zstd=$(built_in zstd-sys)
    fi
  fi
  if [ -z "$librdkafka" ]; then
    librdkafka=$(newest "$(dirname "$consumer")"/build/rdkafka-sys-*/out/src)
    [ -n "$librdkafka" ] || refuse "beside '$consumer' there is no build/rdkafka-sys-*: name its librdkafka with --librdkafka"
  fi
  zstd=${zstd:-$(newest "$librdkafka"/../../../zstd-sys-*/out)}
  [ -f "${zstd:-}/libzstd.a" ] || die "there is no libzstd.a in ${librdkafka%/rdkafka-sys-*}/zstd-sys-*/out, which librdkafka needs"
  cc -O2 -Wall -Wextra -isystem "$librdkafka" "$here/bare.c" "$librdkafka/librdkafka.a" "$zstd/libzstd.a" \
    -lz -lssl -lcrypto -lm -ldl -lpthread -o "$run/bare" || die "bare.c could not be compiled. Debian: apt-get install gcc libssl-dev zlib1g-dev"
}

built_in() { sed -n "s/.*\"build-script-executed\".*[#/]$1[@#].*\"out_dir\":\"\([^\"]*\)\".*/\1/p" "$run/build.json" | tail -n 1; }
newest() { local found; found=$(ls -td "$@" 2>/dev/null || true); echo "${found%%$'\n'*}"; }

kafka() { env KAFKA_RUN="$run/kafka" KAFKA_PORT=auto KAFKA_HEAP="${BENCH_HEAP:-1g}" KAFKA_JVM=-XX:+UseG1GC KAFKA_SPACE_MB="$1" "$root/scripts/kafka.sh" "${@:2}" 8>&-; }

finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  [ -z "${mark:-}" ] || stop_marked
  kafka 0 down >/dev/null 2>&1 || true
  # What a failed run left behind says why.
  if [ "$status" = 0 ]; then rm -rf "$work"; fi
  exit "$status"
}

topics() { kafka 0 tool TopicCommand "$@"; }

# fill TOPIC PARTITIONS RECORDS FORMAT: once; what was broken off begins anew.
fill() {
  local topic=$1
  [ ! -f "$run/filled/$topic" ] || return 0
  case " $present " in *" $topic "*) topics --delete --topic "$topic" >/dev/null ;; esac
  say "filling $topic: $3 records, $2 partitions"
  "$e2e" preload --kafka-bootstrap-servers "$servers" --topic "$topic" --partitions "$2" --records "$3" --format "$4" \
    >"$run/preload.log" 2>&1 || die "that failed: $(tail -n 3 "$run/preload.log")"
  touch "$run/filled/$topic"
}

# The jars of the sinks, once per version, all or nothing.
plugins=$cache/plugins-$(cat "$here/connect/pom.xml" "$root/scripts/kafka/pom.xml" | sha256sum | head -c 12)
fetch_plugins() {
  local new version maven=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
  [ ! -d "$plugins" ] || return 0
  command -v mvn >/dev/null || die "Maven is needed once, to fetch Kafka Connect's sinks. Debian: apt-get install maven; or: --without-connect"
  say "fetching Kafka Connect's sinks, 90 MB, into $cache"
  version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$root/scripts/kafka/pom.xml")
  new=$(mktemp -d "$cache/.fetch.XXXXXX")
  { mvn -q -B -C -ntp -f "$here/connect/pom.xml" "$maven:copy-dependencies" -DincludeScope=runtime "-DoutputDirectory=$new/iceberg" &&
    mvn -q -B -C -ntp "$maven:copy" "-Dartifact=org.apache.kafka:connect-file:$version" "-DoutputDirectory=$new/file"; } >"$cache/fetch.log" 2>&1 || {
    rm -rf "$new"
    die "that failed ($(grep -m 1 -o 'ERROR\] .*' "$cache/fetch.log" | cut -c 8-300)), see $cache/fetch.log"
  }
  mv -T "$new" "$plugins" 2>/dev/null || rm -rf "$new"
}

measure() {
  mark_children bench
  env TMPDIR="$work" PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1 CONNECT_PLUGINS="$plugins" \
    python3 -m measure --bootstrap "$servers" --bare "$run/bare" --consumer "$consumer" --work "$work" \
    --schema "$root/scripts/e2e/src/load/order.avsc" --rounds "$rounds" ${json:+--json "$json"} "$@" 8>&- </dev/null &
  apart=$!
  wait "$apart"
}

compare() {
  local asked=()
  fill "orders-json-$records" 8 "$records" json
  fill "orders-avro-$records" 8 "$records" avro
  if [ "$connect" = 1 ]; then
    case " $present " in *" control-iceberg "*) ;; *) topics --create --topic control-iceberg --partitions 1 >/dev/null ;; esac
    asked=(--connect)
  fi
  [ "$bigquery" = 0 ] || asked+=(--double "$double")
  measure --json-topic "orders-json-$records" --avro-topic "orders-avro-$records" "${asked[@]}"
}

# Always as many records. Topics share 64 partitions, so that only their number differs.
spread() {
  local count number name names places=()
  for count in 1 8 64 512; do
    name=orders-$records-in-$count
    fill "$name" "$count" "$records" json
    places+=(--spread "partitions:$count:$name")
  done
  places+=(--spread "topics:1:orders-$records-in-64")
  for count in 8 64; do
    names=
    for number in $(seq "$count"); do
      name=orders-$records-$number-of-$count
      fill "$name" $((64 / count)) $((records / count)) json
      names=$names,$name
    done
    places+=(--spread "topics:$count:${names#,}")
  done
  measure --svg "${svg:-$root/docs/performance.svg}" "${places[@]}"
}

build
[ "$connect" = 0 ] || [ "$spread" = 1 ] || fetch_plugins
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
rm -rf "$work"
mkdir -p "$work"
if [ "$fresh" = 1 ]; then
  kafka 0 down --wipe
  rm -f "$run"/filled/*
fi
# A kilobyte and more for each record: JSON and Avro, and one sink's output at a time.
servers=$(kafka $((1024 + records * (1 + spread) / 1000)) up)
servers=${servers#*=}
present=$(topics --list | paste -sd ' ')
if [ "$spread" = 1 ]; then spread; else compare; fi

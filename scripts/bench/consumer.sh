#!/usr/bin/env bash
# Measures what the consumer costs, beside librdkafka alone and Kafka Connect. See `consumer.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/scripts/bench
me=consumer
# shellcheck source=scripts/supervise.sh
. "$root/scripts/supervise.sh"
# shellcheck source=scripts/bench/stage.sh
. "$here/stage.sh"

usage() {
  cat <<'HELP'
CPU seconds per GB, MB/s and peak memory of one consumer, of librdkafka alone and of Kafka Connect's sinks, in alternating rounds
over the same topics; prints medians, ranges and ratios as tables. docs/performance.md says what they mean.

  scripts/bench/consumer.sh [OPTION ...]            JSON and Avro, discarded and stored as Parquet
  scripts/bench/consumer.sh --spread [OPTION ...]   one consumer over 1, 8, 64 and 512 partitions, and over 1, 8 and 64 topics

  --rounds N            rounds                                           (default: 3)
  --records N           records in each topic, of all topics in --spread (default: 2000000)
  --without-connect     leave Kafka Connect out
  --json FILE           write every single result
  --svg FILE            with --spread: write a drawing                   (default: docs/performance.svg)
  --fresh               fill the topics again
  --consumer PROGRAM    a consumer that is built                         (default: cargo builds one with --release)
  --e2e PROGRAM         an e2e that is built, which fills topics         (default: the same)
  --librdkafka FOLDER   with --consumer: librdkafka.a and rdkafka.h that it was built with
                        (default: the newest rdkafka-sys beside the program, build/rdkafka-sys-*/out/src)

It starts a Kafka of its own, on 127.0.0.1, and stops it in the end; the topics stay for the next run in .stowage/bench
(BENCH_RUN), which may be deleted. Needs a C compiler, Python 3.10, OpenSSL and zlib to compile with; for Kafka Connect Maven once (90 MB).
Measure on a machine that does nothing else: the load at each round is printed.

Variables: BENCH_RUN, BENCH_HEAP (Kafka's heap, default 1g), CONNECT_HEAP (default 2g), STOWAGE_CACHE, JAVA_HOME, CARGO_TARGET_DIR
Exit status: 0 done, 1 failed, 2 bad input, 130 and 143 ended by a signal.
HELP
}

rounds=3 records=2000000 spread=0 connect=1 fresh=0 json='' svg='' consumer='' e2e='' librdkafka=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --spread) spread=1; shift; continue ;;
    --without-connect) connect=0; shift; continue ;;
    --fresh) fresh=1; shift; continue ;;
    --rounds | --records | --json | --svg | --consumer | --e2e | --librdkafka)
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
    --librdkafka) librdkafka=$2 ;;
  esac
  shift 2
done
check_counts
[ "$spread" = 1 ] || [ -z "$svg" ] || refuse "--svg belongs to --spread"
[ -n "$consumer" ] || [ -z "$librdkafka" ] || refuse "--librdkafka belongs to --consumer"
check_files "$json" "$svg"
check_programs "$consumer" "$e2e"
[ -z "$librdkafka" ] || { [ -f "$librdkafka/librdkafka.a" ] && [ -f "$librdkafka/rdkafka.h" ]; } ||
  refuse "'$librdkafka' holds no librdkafka.a and rdkafka.h"
for tool in cc python3; do command -v "$tool" >/dev/null || die "'$tool' is needed. Debian: apt-get install gcc python3 libssl-dev zlib1g-dev"; done
prepare
cache=${STOWAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stowage}/connect
mkdir -p "$cache" 2>/dev/null || die "the folder $cache cannot be made; set STOWAGE_CACHE"

# Builds what was not given. Cargo says where it built the very librdkafka that the consumer holds.
build() {
  local given=$consumer
  build_release consumer e2e
  if [ -z "$given" ]; then
    librdkafka=$(built_in rdkafka-sys)/src
    zstd=$(built_in zstd-sys)
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
  export CONNECT_PLUGINS=$plugins
  measure_with --bare "$run/bare" "$@"
}

compare() {
  local asked=()
  fill "orders-json-$records" 8 "$records" json
  fill "orders-avro-$records" 8 "$records" avro
  if [ "$connect" = 1 ]; then
    case " $present " in *" control-iceberg "*) ;; *) topics --create --topic control-iceberg --partitions 1 >/dev/null ;; esac
    asked=(--connect)
  fi
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
# A kilobyte and more for each record: JSON and Avro, and one sink's output at a time.
set_stage $((1024 + records * (1 + spread) / 1000))
if [ "$spread" = 1 ]; then spread; else compare; fi

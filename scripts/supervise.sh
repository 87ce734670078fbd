# shellcheck shell=bash
# Sourced by the scripts that start other programs: builds these, and ends everything that one of them started.

# build_programs ROOT: builds the services, e2e and the double of BigQuery of the repository ROOT, and prints the folder that they are in.
build_programs() {
  case ${CARGO_TARGET_DIR:-} in '' | /*) ;; *) export CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac
  cd "$1" || return
  cargo build --workspace --bin monitor --bin orchestrator --bin consumer --bin e2e --bin bigquery-double >&2 || return
  echo "$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/debug"
}

# What is started from now on carries a mark in its environment, whatever process group or parent it gets later.
mark_children() {
  mark=STOWAGE_STARTED_BY=$1-$$-$(date +%s%N)
  export "${mark?}"
}

# The processes that carry the mark. This script itself does not: its environment is the one it began with.
marked() { env -u STOWAGE_STARTED_BY grep -lszxF -- "$mark" /proc/[0-9]*/environ | cut -d / -f 3 || true; }

# First by SIGTERM, after ten seconds by SIGKILL. A paused process hears of its end only when it goes on.
stop_marked() {
  local limit=$((SECONDS + 10)) processes
  processes=$(marked)
  # shellcheck disable=SC2086  # several processes in one variable
  [ -z "$processes" ] || { kill -TERM $processes; kill -CONT $processes; } 2>/dev/null || true
  while processes=$(marked) && [ -n "$processes" ]; do
    # shellcheck disable=SC2086
    [ $SECONDS -lt $limit ] || kill -KILL $processes 2>/dev/null || true
    sleep 0.1
  done
}

# run_apart COMMAND...: in a process group of its own, so that Ctrl-C reaches only this script. The traps for signals
# are to set `interrupted` (see ask_to_end), and `apart` is the process. Returns the command's exit status.
run_apart() {
  local status again
  set -m
  "$@" </dev/null &
  apart=$!
  set +m
  interrupted=0 status=0
  wait "$apart" || status=$?
  # A trap ends the wait early, and by then the command may or may not have ended.
  while [ "$interrupted" = 1 ]; do
    interrupted=0 again=0
    wait "$apart" || again=$?
    [ "$again" = 127 ] || status=$again
  done
  apart=
  return "$status"
}
apart=

# ask_to_end SIGNAL STATUS: asks the command that runs apart to end what it started and then itself; without one this
# script ends with STATUS. One Ctrl-C may arrive twice (from the terminal and from a program that started this script):
# only what comes half a second later is a second wish.
ask_to_end() {
  local now=${EPOCHREALTIME/[.,]/}
  interrupted=1
  [ -n "$apart" ] || exit "$2"
  if [ $((now - asked_at)) -gt 500000 ]; then kill "-$1" "$apart" 2>/dev/null || true; fi
  asked_at=$now
}
asked_at=0

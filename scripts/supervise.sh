# shellcheck shell=bash
# Sourced by the scripts that start other programs: ways to end everything that one of them started, and nothing else.

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
# are to call pass_on, and `apart` is the process. Returns the command's exit status.
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

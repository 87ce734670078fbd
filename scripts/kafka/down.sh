# shellcheck shell=bash
# shellcheck disable=SC2154  # names come from kafka.sh and the other files that it sources
# `kafka.sh down`: stop the nodes of one instance, and on request remove its data.

down() {
  local n
  if [ -n "${KAFKA_BOOTSTRAP_SERVERS:-}" ] && ! any_alive; then
    say "KAFKA_BOOTSTRAP_SERVERS=$KAFKA_BOOTSTRAP_SERVERS is a Kafka that this script did not start; it is left alone"
  fi
  [ -d "$KAFKA_RUN" ] || return 0
  KAFKA_RUN=$(cd "$KAFKA_RUN" && pwd)
  lock_instance
  for n in 1 2 3; do
    # A paused process (SIGSTOP) hears of its end only when it goes on.
    if alive "$n"; then kill -TERM "$(cat "$KAFKA_RUN/node$n/pid")"; kill -CONT "$(cat "$KAFKA_RUN/node$n/pid")"; fi
  done
  for n in 1 2 3; do wait_for_end "$n"; done
  [ "$1" != --wipe ] || rm -rf "$KAFKA_RUN"/node? "$KAFKA_RUN/cluster.id" "$KAFKA_RUN/secure" "$KAFKA_RUN/settings"
}

wait_for_end() {
  local n=$1 dir=$KAFKA_RUN/node$1 limit=$((SECONDS + 30))
  while alive "$n"; do
    if [ $SECONDS -ge $limit ]; then
      say "node $n did not stop within 30 s, killing it"
      kill -KILL "$(cat "$dir/pid")"
      limit=$((SECONDS + 30))
    fi
    sleep 0.1
  done
  rm -f "$dir/pid"
  keep_archive "$dir"
}

# The archive of classes that a first stop wrote goes to the cache, in one step, since others may be starting.
keep_archive() {
  local target new
  [ -s "$1/classes.jsa" ] && [ -f "$1/classes.path" ] || return 0
  target=$(cat "$1/classes.path")
  if new=$(mktemp "$target.XXXXXX" 2>/dev/null) && cp "$1/classes.jsa" "$new" 2>/dev/null; then mv -f "$new" "$target"; else rm -f "${new:-}"; fi
  rm -f "$1/classes.jsa"
}

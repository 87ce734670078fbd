# shellcheck shell=bash
# shellcheck disable=SC2154  # names come from kafka.sh and the other files that it sources
# `kafka.sh up`: format once, start what does not run, wait until every node answers.

up() {
  local n
  if [ -n "${KAFKA_BOOTSTRAP_SERVERS:-}" ]; then
    say "using the Kafka at $KAFKA_BOOTSTRAP_SERVERS, starting none"
    echo "KAFKA_BOOTSTRAP_SERVERS=$KAFKA_BOOTSTRAP_SERVERS"
    return
  fi
  check_variables
  need_java
  need_folder "$KAFKA_RUN" 1 "Kafka's data and logs" KAFKA_RUN
  KAFKA_RUN=$(cd "$KAFKA_RUN" && pwd)
  lock_instance
  check_kept_settings
  install_jars
  began=$(date +%s%N)
  if ! any_alive; then
    need_folder "$KAFKA_RUN" "$KAFKA_SPACE_MB" "Kafka's data and logs" KAFKA_RUN
    take_ports
    printf 'port=%s\nnodes=%s\nsecure=%s\n' "$KAFKA_PORT" "$KAFKA_NODES" "$KAFKA_SECURE" >"$KAFKA_RUN/settings"
  fi
  # 16 random bytes in base64 are a valid cluster id, as long as it does not begin with a dash.
  [ -s "$KAFKA_RUN/cluster.id" ] || head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | head -c 22 >"$KAFKA_RUN/cluster.id"
  [ "$KAFKA_SECURE" = 0 ] || secure_files
  started=
  trap stop_started EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  for n in $(nodes); do alive "$n" || start_node "$n"; done
  for n in $(nodes); do wait_for_node "$n"; done
  exec 8>&-
  say "Apache Kafka $version, $KAFKA_NODES node(s), ready after $((($(date +%s%N) - began) / 1000000)) ms"
  [ "$KAFKA_SECURE" = 0 ] || secure_rules
  trap - EXIT INT TERM
  echo "KAFKA_BOOTSTRAP_SERVERS=$(bootstrap)"
}

# A start that failed or was broken off leaves nothing running behind.
stop_started() {
  local n
  for n in $started; do if alive "$n"; then kill -TERM "$(cat "$KAFKA_RUN/node$n/pid")"; fi; done
  for n in $started; do wait_for_end "$n"; done
}

# The number of nodes and the accounts are part of the data; a port may change while nothing runs.
check_kept_settings() {
  local key asked
  [ -f "$KAFKA_RUN/settings" ] || return 0
  for key in nodes secure; do
    if [ $key = nodes ]; then asked=$KAFKA_NODES; else asked=$KAFKA_SECURE; fi
    [ "$(kept $key)" = "$asked" ] ||
      die "$KAFKA_RUN holds an instance with KAFKA_${key^^}=$(kept $key), not $asked; take another KAFKA_RUN, or run: kafka.sh down --wipe"
  done
  any_alive || return 0
  case $asked_port in
    '' | auto | "$(kept port)") KAFKA_PORT=$(kept port) ;;
    *) die "the instance in $KAFKA_RUN runs on port $(kept port), not $asked_port; stop it first, or take another KAFKA_RUN" ;;
  esac
}

# The first port of this instance that another program listens on; fails when all are free.
taken_port() {
  local n port
  for n in $(nodes); do
    for port in $(node_port "$n") $(($(node_port "$n") + 1)); do
      if is_taken "$port"; then echo "$port"; return 0; fi
    done
  done
  return 1
}

# Instances that choose at the same time wait for each other, until the chosen port is listened on (fd 8 is
# closed when all nodes are ready).
take_ports() {
  local port
  if [ "$KAFKA_PORT" != auto ]; then
    if port=$(taken_port); then die "port $port is taken by another program; set KAFKA_PORT to another port, or to 'auto'"; fi
    return
  fi
  exec 8>"$cache/ports.lock"
  flock -w 300 8 || die "another kafka.sh has been holding $cache/ports.lock for 5 minutes"
  for KAFKA_PORT in $(seq "$first_port" 30 $((first_port + 3000))); do
    if ! taken_port >/dev/null; then return; fi
  done
  die "no free port was found from $first_port on; set KAFKA_PORT"
}

write_properties() {
  local n=$1 port=$2 dir=$3 replicas=1 in_sync=1 voters='' node
  for node in $(nodes); do voters=$voters,$node@127.0.0.1:$(($(node_port "$node") + 1)); done
  if [ "$KAFKA_NODES" = 3 ]; then replicas=3 in_sync=2; fi
  sed -e "s|@NODE@|$n|; s|@PORT@|$port|g; s|@CPORT@|$((port + 1))|g; s|@DATA@|$dir/data|" \
    -e "s|@QUORUM@|controller.quorum.voters=${voters#,}|; s|@RF@|$replicas|; s|@MIN_ISR@|$in_sync|" \
    "$here/server.properties" >"$dir/server.properties"
  if [ "$KAFKA_SECURE" = 1 ]; then
    chmod 600 "$dir/server.properties"
    sed -e "s|@PORT@|$port|g; s|@CPORT@|$((port + 1))|g; s|@SECURE@|$KAFKA_RUN/secure|g" \
      -e "s|@ADMIN@|$(secure_password admin)|g" "$here/secure.properties" >>"$dir/server.properties"
  fi
  [ -z "$KAFKA_EXTRA" ] || { echo; cat "$KAFKA_EXTRA"; } >>"$dir/server.properties"
}

format_once() {
  local dir=$1 accounts=()
  [ ! -f "$dir/data/meta.properties" ] || return 0
  [ "$KAFKA_SECURE" = 0 ] || mapfile -t accounts < <(secure_accounts)
  "$java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$(class_path)" kafka.tools.StorageTool format \
    -t "$(cat "$KAFKA_RUN/cluster.id")" -c "$dir/server.properties" "${accounts[@]}" >"$dir/logs/format.log" 2>&1 || {
    tail -n 5 "$dir/logs/format.log" >&2
    die "formatting $dir/data failed, see $dir/logs/format.log"
  }
}

start_node() {
  local n=$1 dir=$KAFKA_RUN/node$1 sharing
  mkdir -p "$dir/data" "$dir/logs"
  write_properties "$n" "$(node_port "$n")" "$dir"
  format_once "$dir"
  sharing=$(class_sharing)
  if [ "$n" = 1 ] && [ ! -f "$(class_archive)" ]; then sharing=-XX:ArchiveClassesAtExit=$dir/classes.jsa; fi
  class_archive >"$dir/classes.path"
  stat -c %s "$dir/logs/server.log" >"$dir/logs/mark" 2>/dev/null || echo 0 >"$dir/logs/mark"
  # setsid: Ctrl-C in the terminal reaches the caller, who then decides when the broker stops.
  # shellcheck disable=SC2086  # several options in one variable
  setsid "$java" -Xms256m "-Xmx$KAFKA_HEAP" $KAFKA_JVM "$sharing" -Xlog:cds=off -Xlog:cds+dynamic=off -Djava.awt.headless=true \
    "-Dstowage.kafka.node=$dir" "-Dkafka.logs.dir=$dir/logs" "-Dlog4j2.configurationFile=file:$here/log4j2.properties" \
    -cp "$(class_path)" kafka.Kafka "$dir/server.properties" >"$dir/logs/console.log" 2>&1 8>&- 9>&- </dev/null &
  echo $! >"$dir/pid"
  started="$started $n"
}

# A plain listener answers and knows all brokers. With TLS it is the node's own word in its log; the port opens
# at the same moment.
is_ready() {
  local logs=$KAFKA_RUN/node$1/logs
  if [ "$KAFKA_SECURE" = 1 ]; then
    tail -c "+$(($(cat "$logs/mark") + 1))" "$logs/server.log" 2>/dev/null | grep 'Kafka Server started' >/dev/null
  else
    [ "$(brokers "$(node_port "$1")" || true)" = "$KAFKA_NODES" ]
  fi
}

wait_for_node() {
  local n=$1 logs=$KAFKA_RUN/node$1/logs limit=$((SECONDS + KAFKA_WAIT))
  until is_ready "$n"; do
    kill -0 "$(cat "$KAFKA_RUN/node$n/pid")" 2>/dev/null || node_ended "$n" "$logs"
    [ $SECONDS -lt $limit ] || die "node $n is not ready after $KAFKA_WAIT s, see $logs"
    sleep 0.1
  done
}

node_ended() {
  local why
  why=$(tail -q -n 200 "$2"/{console,server}.log 2>/dev/null | grep -m 1 -oE 'No space left on device|Address already in use|OutOfMemoryError.*' || true)
  [ -n "$why" ] || tail -q -n 15 "$2"/{console,server}.log >&2 || true
  die "node $1 ended while it started${why:+: $why}, see $2"
}

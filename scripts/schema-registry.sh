#!/usr/bin/env bash
# A schema registry on the loopback address, for tests and development. See `schema-registry.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=2.6.13.Final

usage() {
  cat <<'HELP'
A schema registry for development (Apicurio Registry, in memory), reached on 127.0.0.1 only, with Confluent's REST interface.

  scripts/schema-registry.sh up       fetch once, start, wait until ready; prints STOWAGE_TEST_REGISTRY=http://host:port/path
  scripts/schema-registry.sh down     stop; what was registered is gone
  scripts/schema-registry.sh status   one line; exit status 1 unless it runs

Each command may be given twice. Progress goes to standard error, so this works in a shell:
  export "$(scripts/schema-registry.sh up)"

With STOWAGE_TEST_REGISTRY set, `up` starts nothing and prints that value.

Variables
  REGISTRY_RUN    log, pid of one instance                                 (default: .stowage/schema-registry of the repository)
  REGISTRY_PORT   its port; "auto" takes the first free one from 19181 on  (default: 19181, or as it was started)
  REGISTRY_HEAP   its heap                                                 (default: 256m)
  STOWAGE_CACHE   where the program is kept, safe to delete                (default: $XDG_CACHE_HOME/stowage or ~/.cache/stowage)
  JAVA_HOME       the Java to use, 17 or newer                             (default: java of the PATH)

Several instances side by side: give each a REGISTRY_RUN of its own and REGISTRY_PORT=auto.
Exit status: 0 done, 1 failed, 2 bad input.
HELP
}

say() { printf 'schema-registry: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
refuse() { say "$@"; say "see: scripts/schema-registry.sh --help"; exit 2; }

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  -h | --help | help) usage; exit 0 ;;
  up | down | status) [ $# -eq 0 ] || refuse "'$command' takes no argument, got '$1'" ;;
  '') refuse "a command is needed: up, down or status" ;;
  *) refuse "unknown command '$command'" ;;
esac
[ "$(uname -s)" = Linux ] || die "this script needs Linux; with a registry of your own set STOWAGE_TEST_REGISTRY=http://host:port/path"

run=${REGISTRY_RUN:-$root/.stowage/schema-registry}
case $run in /*) ;; *) run=$PWD/$run ;; esac
cache=${STOWAGE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or STOWAGE_CACHE}/.cache}/stowage}/schema-registry
program=$cache/apicurio-$version
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
first_port=19181
asked=${REGISTRY_PORT:-}
port=$(cat "$run/port" 2>/dev/null || true)
case ${asked:-1} in
  auto) ;;
  *[!0-9]* | ??????*) refuse "REGISTRY_PORT is a port up to 65535 or 'auto', not '$asked'" ;;
  *) [ "${asked:-1}" -le 65535 ] || refuse "REGISTRY_PORT is a port up to 65535 or 'auto', not '$asked'" ;;
esac

# A process of ours, not another one that got the same pid.
alive() { [ -f "$run/pid" ] && grep -qszxF -- "-Dstowage.run=$run" "/proc/$(cat "$run/pid")/cmdline"; }
is_taken() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
url() { echo "http://127.0.0.1:$port/apis/ccompat/v7"; }
is_ready() { curl -fsS --noproxy '*' --max-time 2 "$(url)/subjects" >/dev/null 2>&1; }

# Once per version, all or nothing.
fetch() {
  local new
  [ ! -d "$program" ] || return 0
  command -v mvn >/dev/null 2>&1 || die "Maven is needed once, to fetch the registry. Debian: apt-get install maven"
  say "fetching Apicurio Registry $version, 142 MB, into $cache"
  new=$(mktemp -d "$cache/.fetch.XXXXXX")
  mvn -q -B -C -ntp org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    "-Dartifact=io.apicurio:apicurio-registry-app:$version:tar.gz:all" "-DoutputDirectory=$new" >"$cache/fetch.log" 2>&1 || {
    rm -rf "$new"
    die "that failed ($(grep -m 1 -o 'ERROR\] .*' "$cache/fetch.log" | cut -c 8-300)), see $cache/fetch.log"
  }
  mkdir "$new/program"
  tar -xzf "$new"/*.tar.gz -C "$new/program"
  mv "$new/program" "$program"
  rm -rf "$new"
}

choose_port() {
  if [ "$asked" != auto ]; then
    port=${asked:-${port:-$first_port}}
    if is_taken "$port"; then die "port $port is taken by another program; set REGISTRY_PORT to another port, or to 'auto'"; fi
    return
  fi
  for port in $(seq "$first_port" 2 $((first_port + 400))); do
    if ! is_taken "$port"; then return; fi
  done
  die "no free port was found from $first_port on; set REGISTRY_PORT"
}

up() {
  local limit
  if [ -n "${STOWAGE_TEST_REGISTRY:-}" ]; then
    say "using the registry at $STOWAGE_TEST_REGISTRY, starting none"
    echo "STOWAGE_TEST_REGISTRY=$STOWAGE_TEST_REGISTRY"
    return
  fi
  command -v "$java" >/dev/null 2>&1 || die "Java 17 or newer is needed, and '$java' was not found. Debian: apt-get install openjdk-17-jre-headless"
  mkdir -p "$cache" 2>/dev/null || die "the folder $cache cannot be made; set STOWAGE_CACHE"
  mkdir -p "$run" 2>/dev/null || die "the folder $run cannot be made; set REGISTRY_RUN"
  # One lock for all instances: those that choose a port at the same time wait for each other.
  exec 9>"$cache/lock"
  flock -w 600 9 || die "another schema-registry.sh has been holding $cache/lock for 10 minutes"
  fetch
  if ! alive; then
    choose_port
    # setsid: Ctrl-C in the terminal reaches the caller, who then decides when the registry stops.
    setsid "$java" "-Xmx${REGISTRY_HEAP:-256m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dstowage.run=$run" \
      -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$port" -jar "$program/apicurio-registry-app-$version-runner.jar" \
      >"$run/registry.log" 2>&1 9>&- </dev/null &
    echo $! >"$run/pid"
    echo "$port" >"$run/port"
  fi
  limit=$((SECONDS + 120))
  until is_ready && alive; do
    kill -0 "$(cat "$run/pid")" 2>/dev/null || { tail -n 5 "$run/registry.log" >&2; die "the registry ended while it started, see $run/registry.log"; }
    [ $SECONDS -lt $limit ] || die "the registry does not answer after 120 s, see $run/registry.log"
    sleep 0.2
  done
  say "Apicurio Registry $version at $(url)"
  echo "STOWAGE_TEST_REGISTRY=$(url)"
}

down() {
  local limit=$((SECONDS + 10))
  if alive; then kill -TERM "$(cat "$run/pid")"; fi
  while alive; do
    [ $SECONDS -lt $limit ] || kill -KILL "$(cat "$run/pid")"
    sleep 0.1
  done
  rm -f "$run/pid"
}

status() {
  if alive; then echo "$(url)  running, pid $(cat "$run/pid")  $run"; return; fi
  echo "nothing runs in $run"
  return 1
}

"$command"

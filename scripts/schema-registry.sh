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

me=schema-registry
# shellcheck source=scripts/instance.sh
. "$root/scripts/instance.sh"

read_command 'up down status' "$@"
need_linux "with a registry of your own set STOWAGE_TEST_REGISTRY=http://host:port/path"
run=$(absolute "${REGISTRY_RUN:-$root/.stowage/schema-registry}")
cache=$(cache_of schema-registry)
program=$cache/apicurio-$version
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
first_port=19181
read_port REGISTRY_PORT

# A process of ours, not another one that got the same pid.
alive() { [ -f "$run/pid" ] && grep -qszxF -- "-Dstowage.run=$run" "/proc/$(cat "$run/pid")/cmdline"; }
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

up() {
  if [ -n "${STOWAGE_TEST_REGISTRY:-}" ]; then
    say "using the registry at $STOWAGE_TEST_REGISTRY, starting none"
    echo "STOWAGE_TEST_REGISTRY=$STOWAGE_TEST_REGISTRY"
    return
  fi
  command -v "$java" >/dev/null 2>&1 || die "Java 17 or newer is needed, and '$java' was not found. Debian: apt-get install openjdk-17-jre-headless"
  mkdir -p "$cache" 2>/dev/null || die "the folder $cache cannot be made; set STOWAGE_CACHE"
  mkdir -p "$run" 2>/dev/null || die "the folder $run cannot be made; set REGISTRY_RUN"
  # One lock for all instances: those that choose a port at the same time wait for each other.
  take_lock "$cache/lock" 600
  fetch
  if ! alive; then
    choose_port REGISTRY_PORT
    start_process "$run/registry.log" "$java" "-Xmx${REGISTRY_HEAP:-256m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dstowage.run=$run" \
      -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$port" -jar "$program/apicurio-registry-app-$version-runner.jar"
  fi
  await_process registry "$run/registry.log" 120 is_ready
  say "Apicurio Registry $version at $(url)"
  echo "STOWAGE_TEST_REGISTRY=$(url)"
}

case $command in
  up) up ;;
  down) stop_process ;;
  status) show_process "$(url)" ;;
esac

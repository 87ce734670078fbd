# shellcheck shell=bash
# shellcheck disable=SC2154  # here, say and die come from kafka.sh, which sources this file
# Java, the jars of one Kafka version, and the class-data archive that makes JVMs start faster.

version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
cache=$(cache_of kafka)
libs=$cache/libs-$version

need_java() {
  local properties major hint="Debian: apt-get install openjdk-17-jre-headless. With a Kafka of your own: KAFKA_BOOTSTRAP_SERVERS=host:port"
  java=${JAVA_HOME:+$JAVA_HOME/bin/}java
  command -v "$java" >/dev/null 2>&1 || die "Java 17 or newer is needed, and '$java' was not found. $hint"
  properties=$("$java" -XshowSettings:properties -version 2>&1) || die "'$java' does not run: $(tail -n 1 <<<"$properties")"
  major=$(sed -n 's/ *java.specification.version = //p' <<<"$properties")
  java_build=$(sed -n 's/ *java.vm.version = //p' <<<"$properties")
  [ "${major%%.*}" -ge 17 ] 2>/dev/null || die "Java 17 or newer is needed, and '$java' is version ${major:-unknown}. $hint"
}

# Fetches the jars, once per version, all or nothing.
install_jars() {
  local new log
  [ ! -f "$libs/.complete" ] || return 0
  command -v mvn >/dev/null 2>&1 || die "Maven is needed once, to fetch Kafka's jars. Debian: apt-get install maven"
  need_folder "$cache" 300 "the cache for Kafka's jars" STOWAGE_CACHE
  say "fetching Apache Kafka $version, about 55 MB of jars, into $cache"
  new=$(mktemp -d "$cache/.libs.XXXXXX")
  log=$new.log
  mvn -q -B -C -ntp -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$new" >"$log" 2>&1 || {
    rm -rf "$new"
    die "Kafka's jars could not be fetched ($(grep -m 1 -o 'ERROR\] .*' "$log" | cut -c 8-700)), see $log"
  }
  touch "$new/.complete"
  # When another run was faster, its jars are the same.
  mv -T "$new" "$libs" 2>/dev/null || rm -rf "$new"
  rm -f "$log"
}

# Spelled out and sorted, since an archive of classes is used only with the very same path. No empty entry at
# the end: it would mean the current folder, with whatever lies there.
class_path() { printf '%s:' "$libs"/*.jar | sed 's/:$//'; }

# Written by the first clean stop of a broker; later starts take half the time.
class_archive() { echo "$cache/classes-$version-java$java_build.jsa"; }
class_sharing() { if [ -f "$(class_archive)" ]; then echo "-XX:SharedArchiveFile=$(class_archive)"; else echo -Xshare:auto; fi; }

# tool CLASS ARGUMENT...: one of Kafka's command-line classes; short names are those of org.apache.kafka.tools
tool() {
  local class=$1 connect=() short_lived="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx256m"
  shift
  check_variables
  need_java
  install_jars
  case $class in
    *.*) ;;
    ConsumerGroupCommand) class=org.apache.kafka.tools.consumer.group.$class ;;
    *) class=org.apache.kafka.tools.$class ;;
  esac
  case "$class $*" in
    *--bootstrap-* | *StorageTool*) ;;
    *Command\ * | *GetOffsetShell*)
      [ -n "${KAFKA_BOOTSTRAP_SERVERS:-}" ] || any_alive || die "no Kafka runs in $KAFKA_RUN; start it with: kafka.sh up"
      connect=(--bootstrap-server "${KAFKA_BOOTSTRAP_SERVERS:-$(bootstrap)}")
      if [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ] && [ "$KAFKA_SECURE" = 1 ]; then
        connect+=(--command-config "$KAFKA_RUN/secure/admin.properties")
      fi
      ;;
  esac
  # shellcheck disable=SC2086  # several options in one variable
  exec "$java" $short_lived "$(class_sharing)" -Xlog:cds=off -Xlog:cds+dynamic=off -cp "$(class_path)" "$class" "${connect[@]}" "$@"
}

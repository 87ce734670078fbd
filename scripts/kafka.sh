#!/usr/bin/env bash
# Apache Kafka on the loopback address, for the demo, the tests and development. See `kafka.sh --help`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$root/scripts/kafka

usage() {
  cat <<'HELP'
Apache Kafka for development: real brokers (KRaft), reached on 127.0.0.1 only.

  scripts/kafka.sh up               fetch once, start, wait until ready; prints KAFKA_BOOTSTRAP_SERVERS=host:port
  scripts/kafka.sh down [--wipe]    stop; --wipe removes the data as well
  scripts/kafka.sh status           one line per node; exit status 1 unless all nodes run
  scripts/kafka.sh tool CLASS ...   Kafka's own command-line classes, for example: tool TopicCommand --list

Each command may be given twice. Progress goes to standard error, so this works in a shell:
  export "$(scripts/kafka.sh up)"

With KAFKA_BOOTSTRAP_SERVERS set (a Kafka of your own) `up` fetches and starts nothing and prints that value,
`down` stops nothing, and `tool` talks to those servers. Unset it to start another instance.

Variables
  KAFKA_RUN        data, logs, pid files of one instance                  (default: .stowage/kafka of the repository)
  KAFKA_PORT       node n listens on KAFKA_PORT + 10 (n - 1), its controller on the port after that;
                   "auto" takes the first free ones from 19092 on         (default: 19092, or as KAFKA_RUN was started)
  KAFKA_NODES      1, or 3 with replication factor 3 and min.insync.replicas 2       (default: 1)
  KAFKA_HEAP       heap of one node                                       (default: 512m)
  KAFKA_JVM        further options of the JVM, for throughput -XX:+UseG1GC
                                                      (default: -XX:+UseSerialGC -XX:TieredStopAtLevel=1, starts faster)
  KAFKA_EXTRA      file with more broker settings; of two equal keys the last counts
  KAFKA_SECURE     1: TLS, SCRAM accounts and access rules; accounts are in KAFKA_RUN/secure    (default: 0)
  KAFKA_SECURE_DATA   prefix of the data topics in the access rules       (default: orders)
  KAFKA_SECURE_GROUP  the consumers' group in the access rules            (default: data-engineering)
  KAFKA_WAIT       seconds until `up` gives up waiting for a node         (default: 90)
  KAFKA_SPACE_MB   free space that `up` asks for in KAFKA_RUN             (default: 1024)
  STOWAGE_CACHE    where jars are kept between runs, safe to delete       (default: $XDG_CACHE_HOME/stowage or ~/.cache/stowage)
  JAVA_HOME        the Java to use, 17 or newer                           (default: java of the PATH)

Several instances side by side: give each a KAFKA_RUN of its own and KAFKA_PORT=auto.
Exit status: 0 done, 1 failed, 2 bad input.
HELP
}

me=kafka needs='a class, for example: tool TopicCommand --list'
# shellcheck source=scripts/instance.sh
. "$root/scripts/instance.sh"

read_command 'up down! status tool+' "$@"
shift
need_linux "with a Kafka of your own set KAFKA_BOOTSTRAP_SERVERS=host:port"

# shellcheck source=scripts/kafka/instance.sh
. "$here/instance.sh"
# shellcheck source=scripts/kafka/install.sh
. "$here/install.sh"
# shellcheck source=scripts/kafka/secure.sh
. "$here/secure.sh"
# shellcheck source=scripts/kafka/up.sh
. "$here/up.sh"
# shellcheck source=scripts/kafka/down.sh
. "$here/down.sh"

case $command in
  up) up ;;
  down) down "${1:-}" ;;
  status) status ;;
  tool) tool "$@" ;;
esac

#!/usr/bin/env bash
# A standalone worker of Kafka Connect, in the foreground: worker.sh SERVERS FOLDER CONNECTOR.properties
# CONNECT_PLUGINS is the folder of plugin folders, CONNECT_PORT the port of its REST interface (127.0.0.1), CONNECT_HEAP its heap.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
here=$root/scripts/kafka
servers=${1:?the servers are missing} work=${2:?the folder is missing} connector=${3:?the connector is missing}

me=connect
# shellcheck source=scripts/instance.sh
. "$root/scripts/instance.sh"
# shellcheck source=scripts/kafka/instance.sh
. "$here/instance.sh"
# shellcheck source=scripts/kafka/install.sh
. "$here/install.sh"

need_java
install_jars
mkdir -p "$work/logs"
cat >"$work/worker.properties" <<PROPERTIES
bootstrap.servers=$servers
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename=$work/offsets
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:${CONNECT_PORT:-19083}
plugin.path=${CONNECT_PLUGINS:?the folder of plugins is missing}
# The default loads every class of each plugin first, which takes minutes.
plugin.discovery=service_load
connector.client.config.override.policy=All
PROPERTIES
# shellcheck disable=SC2154  # java comes from install.sh
exec "$java" -Xms256m "-Xmx${CONNECT_HEAP:-2g}" -XX:+UseG1GC -Djava.awt.headless=true "-Dkafka.logs.dir=$work/logs" \
  "-Dlog4j2.configurationFile=file:$here/log4j2.properties" -cp "$(class_path)" \
  org.apache.kafka.connect.cli.ConnectStandalone "$work/worker.properties" "$connector"

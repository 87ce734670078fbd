"""Google's Python client as a sink of Kafka's records: google_client.py SERVERS TOPIC GRPC TABLE DELIVERY [SCHEMA]

Reads TOPIC (JSON, or Avro with the file SCHEMA) to its present end, appends each record as a row to TABLE, which is there
(projects/P/datasets/D/tables/T), and prints what that took. Rows are made as Google's documentation shows: a protobuf message for
each record, requests handed to AppendRowsStream, whose futures are waited for. DELIVERY is exactly_once (a stream per partition,
explicit offsets) or at_least_once (the default stream). Offsets are committed once all before them is stored.
"""

import json
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import grpc
from confluent_kafka import Consumer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_write import BigQueryWriteClient
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.cloud.bigquery_storage_v1.writer import AppendRowsStream
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Kind = descriptor_pb2.FieldDescriptorProto
COLUMNS = [
    ("kafka_topic", Kind.TYPE_STRING),
    ("kafka_topic_id", Kind.TYPE_STRING),
    ("kafka_partition", Kind.TYPE_INT64),
    ("kafka_offset", Kind.TYPE_INT64),
    ("kafka_timestamp", Kind.TYPE_INT64),
    ("kafka_key", Kind.TYPE_BYTES),
    ("kafka_tombstone", Kind.TYPE_BOOL),
    ("order_id", Kind.TYPE_INT64),
    ("customer_id", Kind.TYPE_INT64),
    ("country", Kind.TYPE_STRING),
    ("status", Kind.TYPE_STRING),
    ("amount", Kind.TYPE_DOUBLE),
    ("currency", Kind.TYPE_STRING),
    ("items", Kind.TYPE_INT64),
    ("created_at", Kind.TYPE_INT64),
    ("express", Kind.TYPE_BOOL),
    ("sku", Kind.TYPE_STRING),
    ("note", Kind.TYPE_STRING),
]
REQUEST_BYTES = 2 << 20
# Requests of a stream that have no answer.
UNANSWERED_MAX = 4
RECORDS_AT_ONCE = 5_000
ANSWER_SECONDS = 60.0


def row_type() -> tuple[Any, descriptor_pb2.DescriptorProto]:
    """The class of rows, and the descriptor that BigQuery reads them by."""
    descriptor = descriptor_pb2.DescriptorProto(name="Order")
    for number, (name, kind) in enumerate(COLUMNS, start=1):
        descriptor.field.add(name=name, number=number, type=kind, label=Kind.LABEL_OPTIONAL)
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", syntax="proto2")
    file.message_type.add().CopyFrom(descriptor)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Order")), descriptor


def reader(schema: str | None) -> Callable[[bytes], dict[str, Any]]:
    """How a record's value becomes a row's columns."""
    if schema is None:
        return json.loads
    # Times as the numbers that they are: cheaper than Python's, which would have to be taken apart again.
    plain = json.loads(Path(schema).read_text())
    for column in plain["fields"]:
        if isinstance(column["type"], dict):
            column["type"] = column["type"]["type"]
    parsed = fastavro.parse_schema(plain)

    def read(value: bytes) -> dict[str, Any]:
        order: dict[str, Any] = fastavro.schemaless_reader(BytesIO(value), parsed, None)
        order["created_at"] *= 1_000
        return order

    return read


@dataclass
class Appender:
    """One stream: rows that wait for their request, and requests that wait for their answer."""

    stream: AppendRowsStream
    name: str
    has_offsets: bool
    rows: list[bytes] = field(default_factory=list)
    size: int = 0
    offset: int = 0
    # With what to commit once it is answered.
    unanswered: deque[tuple[Any, dict[int, int]]] = field(default_factory=deque)
    ends: dict[int, int] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)

    def add(self, row: bytes, partition: int, next_offset: int) -> None:
        self.rows.append(row)
        self.size += len(row)
        self.ends[partition] = next_offset
        if self.size >= REQUEST_BYTES:
            self.send()

    def send(self) -> None:
        if not self.rows:
            return
        request = types.AppendRowsRequest(write_stream=self.name)
        request.proto_rows = types.AppendRowsRequest.ProtoData(rows=types.ProtoRows(serialized_rows=self.rows))
        if self.has_offsets:
            request.offset = self.offset
        self.unanswered.append((self.stream.send(request), dict(self.ends)))
        self.offset += len(self.rows)
        self.rows, self.size = [], 0
        self.settle(UNANSWERED_MAX)

    def settle(self, left: int) -> None:
        """Waits until at most so many requests have no answer."""
        while len(self.unanswered) > left or (self.unanswered and self.unanswered[0][0].done()):
            future, ends = self.unanswered.popleft()
            future.result(ANSWER_SECONDS)
            self.stored.update(ends)


def appender(client: BigQueryWriteClient, table: str, delivery: str, descriptor: descriptor_pb2.DescriptorProto) -> Appender:
    name = f"{table}/streams/_default"
    if delivery == "exactly_once":
        kind = types.WriteStream(type_=types.WriteStream.Type.COMMITTED)
        name = client.create_write_stream(parent=table, write_stream=kind).name
    template = types.AppendRowsRequest(write_stream=name)
    schema = types.ProtoSchema(proto_descriptor=descriptor)
    template.proto_rows = types.AppendRowsRequest.ProtoData(writer_schema=schema)
    return Appender(AppendRowsStream(client, template), name, delivery == "exactly_once")


def open_topic(servers: str, topic: str) -> tuple[Consumer, str, dict[int, int]]:
    """A consumer of all partitions from their beginning, the topic's id, and where each ends."""
    admin = AdminClient({"bootstrap.servers": servers})
    found = admin.describe_topics(TopicCollection([topic]))[topic].result()
    settings = {"bootstrap.servers": servers, "group.id": f"bench-{time.time_ns()}", "enable.auto.commit": False}
    consumer = Consumer(settings)
    places = [TopicPartition(topic, partition.id, 0) for partition in found.partitions]
    ends = {place.partition: consumer.get_watermark_offsets(place)[1] for place in places}
    consumer.assign(places)
    return consumer, str(found.topic_id), ends


def commit(consumer: Consumer, topic: str, appenders: list[Appender]) -> None:
    places = [TopicPartition(topic, *at) for one in appenders for at in one.stored.items()]
    if places:
        consumer.commit(offsets=places, asynchronous=True)
    for one in appenders:
        one.stored = {}


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    servers, topic, grpc_address, table, delivery, *schema = sys.argv[1:]
    row, descriptor = row_type()
    read = reader(schema[0] if schema else None)
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    channel = grpc.insecure_channel(grpc_address, options=limits)
    client = BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))
    consumer, topic_id, ends = open_topic(servers, topic)
    began, cpu = time.monotonic(), used()
    if delivery == "exactly_once":
        of_partition = {partition: appender(client, table, delivery, descriptor) for partition in ends}
    else:
        of_partition = dict.fromkeys(ends, appender(client, table, delivery, descriptor))
    appenders = list({id(one): one for one in of_partition.values()}.values())
    records = size = 0
    left = sum(ends.values())
    while left > 0:
        for record in consumer.consume(RECORDS_AT_ONCE, timeout=1.0):
            if record.error():
                raise SystemExit(f"Kafka: {record.error()}")
            partition, offset, key, value = record.partition(), record.offset(), record.key(), record.value()
            if offset >= ends[partition]:
                continue
            built = row(
                kafka_topic=topic,
                kafka_topic_id=topic_id,
                kafka_partition=partition,
                kafka_offset=offset,
                kafka_timestamp=record.timestamp()[1] * 1_000,
                kafka_key=key,
                kafka_tombstone=False,
                **read(value),
            )
            of_partition[partition].add(built.SerializeToString(), partition, offset + 1)
            records += 1
            size += len(key) + len(value)
            left -= 1
        commit(consumer, topic, appenders)
    for one in appenders:
        one.send()
    for one in appenders:
        one.settle(0)
    commit(consumer, topic, appenders)
    seconds, cpu = time.monotonic() - began, used() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"records": records, "bytes": size, "seconds": seconds, "cpu_seconds": cpu, "memory_peak_bytes": peak}))
    for one in appenders:
        one.stream.close()
    consumer.close()


if __name__ == "__main__":
    main()

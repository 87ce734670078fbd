"""python -m measure: rounds of measurements on topics that consumer.sh or bigquery.sh has filled."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median

from . import bigquery, connect
from .plot import Panel, svg
from .programs import CONSUMERS_SETTINGS, Failed, Programs, Result
from .table import Rounds, ratios, table

Measurement = Callable[[], Result]

BARE, BARE_BOUNDED = "librdkafka, its own settings", "librdkafka, the consumer's settings"
POLL, BYTES, JSON = "poll loop", "consumer: bytes, discarded", "consumer: JSON, discarded"
PARQUET, SNAPPY = "consumer: JSON to Parquet", "consumer: JSON to Parquet, Snappy"
AVRO, AVRO_SNAPPY = "consumer: Avro to Parquet", "consumer: Avro to Parquet, Snappy"
FILE, FILE_JSON = "Connect: text to a file", "Connect: JSON to a file"
ICEBERG, TUNED = "Connect: JSON to Parquet (Iceberg)", "Connect: the same, larger fetches"

SINKS = {
    FILE: connect.Sink("file.properties", {"value.converter": "org.apache.kafka.connect.storage.StringConverter"}),
    FILE_JSON: connect.Sink("file.properties", {}),
    ICEBERG: connect.Sink("iceberg.properties", {}),
    TUNED: connect.Sink(
        "iceberg.properties",
        {
            "consumer.override.max.poll.records": "5000",
            "consumer.override.max.partition.fetch.bytes": "8388608",
            "consumer.override.fetch.min.bytes": "1048576",
        },
    ),
}

# What Google's client can do as well.
GOOGLE_DELIVERIES = ("exactly_once", "at_least_once")

PAIRS = [
    (POLL, BARE),
    (POLL, BARE_BOUNDED),
    (BYTES, POLL),
    (BYTES, BARE),
    (BYTES, BARE_BOUNDED),
    (JSON, POLL),
    (JSON, BARE),
    (PARQUET, ICEBERG),
    (PARQUET, TUNED),
    (SNAPPY, ICEBERG),
    (AVRO, ICEBERG),
    (AVRO, PARQUET),
]


def main() -> int:
    args = arguments()
    try:
        found = spread(args) if args.spread else into_bigquery(args) if args.double else compare(args)
    except Failed as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    if args.json:
        rounds = {what: [asdict(result) for result in results] for what, results in found.items()}
        args.json.write_text(json.dumps({"machine": machine(), "rounds": rounds}, indent=1) + "\n")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="measure", description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--bare", type=Path)
    for name in ("consumer", "schema", "work"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json-topic")
    parser.add_argument("--avro-topic")
    parser.add_argument("--connect", action="store_true")
    parser.add_argument("--double", type=Path)
    parser.add_argument("--google-python", type=Path)
    parser.add_argument("--deliveries", type=lambda text: text.split(","), default=[])
    parser.add_argument("--spread", action="append", metavar="AXIS:COUNT:TOPIC,...")
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def programs(args: argparse.Namespace) -> Programs:
    return Programs(args.bootstrap, args.bare, args.consumer, args.schema)


def compare(args: argparse.Namespace) -> Rounds:
    run, text, avro = programs(args), [args.json_topic], [args.avro_topic]
    # These passes bring both topics into the page cache, and tell what they hold.
    warm = run.librdkafka(text, {})
    run.librdkafka(avro, {})
    measurements: dict[str, Measurement] = {
        BARE: lambda: run.librdkafka(text, {}),
        BARE_BOUNDED: lambda: run.librdkafka(text, CONSUMERS_SETTINGS),
        POLL: lambda: run.bench(text, "--poll-loop"),
        # Nothing waits there to be closed after a while.
        BYTES: lambda: run.bench(text, "--sink", "discard", "--rotation-secs", "1", "--format", "bytes"),
        JSON: lambda: run.bench(text, "--sink", "discard", "--rotation-secs", "1"),
        PARQUET: lambda: run.bench(text, "--compression", "zstd"),
        SNAPPY: lambda: run.bench(text, "--compression", "snappy"),
        AVRO: lambda: run.bench(avro, *run.avro(), "--compression", "zstd"),
        AVRO_SNAPPY: lambda: run.bench(avro, *run.avro(), "--compression", "snappy"),
    }
    if args.connect:
        total = connect.Total(warm.records, warm.bytes)
        for what, sink in SINKS.items():
            measurements[what] = partial(connect.measure, args.bootstrap, args.json_topic, sink, total, args.work / "connect")
    rounds = measured(measurements, args.rounds)
    print(f"\n{machine()}\n{warm.records} records, {warm.bytes / 1e6:.0f} MB as JSON; {warm.extra['what']}; {args.rounds} rounds\n")
    print(table(rounds), ratios(rounds, PAIRS), sep="\n\n")
    for what in SINKS:
        for result in rounds.get(what, [])[:1]:
            start = result.extra
            print(f"\n{what}: its start took {start['start_seconds']:.1f} s and {start['start_cpu_seconds']:.1f} CPU s, not counted above")
    return rounds


def into_bigquery(args: argparse.Namespace) -> Rounds:
    """All that stores Avro and JSON in BigQuery, in each of its ways."""
    run = programs(args)
    formats = [
        bigquery.Format("Avro", args.avro_topic, run.avro(), [str(args.schema)]),
        bigquery.Format("JSON", args.json_topic, [], []),
    ]
    measurements: dict[str, Measurement] = {}
    pairs: list[tuple[str, str]] = []
    for form in formats:
        ours = {delivery: f"consumer: {form.name}, {delivery}" for delivery in args.deliveries}
        for delivery, what in ours.items():
            measurements[what] = partial(bigquery.consumer, run, args.double, form, delivery)
        pairs += [(what, other) for what, other in zip(ours.values(), list(ours.values())[1:], strict=False)]
        # By streaming inserts, this client of Google's appends nothing.
        for delivery in [name for name in GOOGLE_DELIVERIES if args.google_python and name in ours]:
            what = f"Google's client for Python: {form.name}, {delivery}"
            measurements[what] = partial(bigquery.google_client, run, args.google_python, args.double, form, delivery)
            pairs.append((ours[delivery], what))
    # These passes bring both topics into the page cache, and tell what they hold.
    held = {form.name: run.bench([form.topic], "--poll-loop") for form in formats}
    rounds = measured(measurements, args.rounds)
    said = "; ".join(f"{result.records} records, {result.bytes / 1e6:.0f} MB as {name}" for name, result in held.items())
    print(f"\n{machine()}\n{said}; {args.rounds} rounds\n")
    print(table(rounds, "what stores", bigquery.MEASURES), ratios(rounds, pairs, bigquery.MEASURES), sep="\n\n")
    return rounds


def spread(args: argparse.Namespace) -> Rounds:
    """One consumer over as many records, in more and more partitions and topics."""
    run = programs(args)
    measurements: dict[str, Measurement] = {}
    places: list[tuple[str, int, str, str]] = []
    warmed = set()
    for axis, count, topics in (place.split(":") for place in args.spread):
        names = topics.split(",")
        if topics not in warmed:
            run.librdkafka(names, {})
            warmed.add(topics)
        plural = axis if int(count) > 1 else axis.removesuffix("s")
        for kind, flags in (("bytes, discarded", ["--sink", "discard", "--format", "bytes"]), ("JSON to Parquet", [])):
            what = f"{kind}: {count} {plural}"
            # What came last waits for this time, which is no part of a speed.
            measurements[what] = partial(run.bench, names, "--rotation-secs", "1", *flags)
            places.append((axis, int(count), kind, what))
    rounds = measured(measurements, args.rounds)
    print(f"\n{machine()}\n{args.rounds} rounds\n\n{table(rounds, 'one consumer')}")
    panels = [
        Panel(axis, {kind: points(rounds, [place for place in places if place[0] == axis and place[2] == kind]) for kind in kinds})
        for axis, kinds in ((axis, dict.fromkeys(place[2] for place in places)) for axis in dict.fromkeys(place[0] for place in places))
    ]
    if args.svg:
        args.svg.write_text(svg("MB/s that one consumer reads", panels))
    return rounds


def points(rounds: Rounds, places: list[tuple[str, int, str, str]]) -> list[tuple[int, float]]:
    def middle(what: str) -> float:
        return median(result.megabytes_per_second for result in rounds[what])

    return [(count, middle(what)) for _, count, _, what in places]


def measured(measurements: dict[str, Measurement], count: int) -> Rounds:
    """Round by round, so that what else the machine does meets all of them."""
    rounds: Rounds = {what: [] for what in measurements}
    for number in range(1, count + 1):
        print(f"round {number} of {count}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        for what, measurement in measurements.items():
            result = measurement()
            rounds[what].append(result)
            print(
                f"  {what}: {result.cpu_seconds_per_gb:.2f} CPU s/GB, {result.megabytes_per_second:.0f} MB/s, "
                f"{result.memory_peak_megabytes:.0f} MB",
                file=sys.stderr,
            )
    return rounds


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown make")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1e6
    return f"{os.cpu_count()} cores of {cpu}, {memory:.0f} GB of memory, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    sys.exit(main())

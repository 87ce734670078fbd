"""Measures what stores a topic's records in BigQuery: into a double of its own, which begins empty and is gone afterwards.

The double is a process of its own, whose cost is not counted.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from .programs import Failed, Programs, Result, parse, run
from .table import Measure

PROJECT, DATASET, TABLE = "bench", "bench", "orders"
GOOGLE_CLIENT = Path(__file__).resolve().parent.parent / "google_client.py"

MEASURES: list[Measure] = [
    ("MB/CPU s", 1, lambda result: result.bytes / 1e6 / result.cpu_seconds),
    ("CPU µs a record", 2, lambda result: result.cpu_seconds / result.records * 1e6),
    ("rows/s", 0, lambda result: result.records / result.seconds),
    ("MB/s", 1, lambda result: result.megabytes_per_second),
    ("peak memory, MB", 0, lambda result: result.memory_peak_megabytes),
]

# The columns that Google's client fills, as google_client.py names them.
COLUMNS = [
    *[("kafka_topic", "STRING"), ("kafka_topic_id", "STRING"), ("kafka_partition", "INTEGER"), ("kafka_offset", "INTEGER")],
    *[("kafka_timestamp", "TIMESTAMP"), ("kafka_key", "BYTES"), ("kafka_tombstone", "BOOLEAN")],
    *[("order_id", "INTEGER"), ("customer_id", "INTEGER"), ("country", "STRING"), ("status", "STRING"), ("amount", "FLOAT")],
    *[("currency", "STRING"), ("items", "INTEGER"), ("created_at", "INTEGER"), ("express", "BOOLEAN"), ("sku", "STRING")],
    ("note", "STRING"),
]


@dataclass(frozen=True)
class Format:
    """How records are written: the topic that holds them so, the consumer's flags, and what Google's client needs to know."""

    name: str
    topic: str
    flags: list[str]
    schema: list[str]

    def columns(self) -> list[dict[str, str]]:
        kinds = dict(COLUMNS) | ({"created_at": "TIMESTAMP"} if self.schema else {})
        return [{"name": name, "type": kind} for name, kind in kinds.items()]


@dataclass(frozen=True)
class Double:
    """One that runs."""

    rest: str
    grpc: str

    @property
    def base(self) -> str:
        return f"{self.rest}/bigquery/v2"

    def post(self, path: str, body: dict[str, Any]) -> None:
        request = Request(f"{self.base}/projects/{PROJECT}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urlopen(request) as answer:
            answer.read()

    def rows(self) -> int:
        with urlopen(f"{self.rest}/admin/state") as answer:
            return sum(table["stored"] for table in json.load(answer)["tables"])


@contextmanager
def started(program: Path) -> Iterator[Double]:
    process = subprocess.Popen([str(program)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = dict(process.stdout.readline().strip().partition("=")[::2] for _ in range(2))
        double = Double(said["STOWAGE_TEST_BIGQUERY_REST"], said["STOWAGE_TEST_BIGQUERY_GRPC"])
        double.post("/datasets", {"datasetReference": {"projectId": PROJECT, "datasetId": DATASET}})
        yield double
    finally:
        process.terminate()
        process.wait()


def into_double(program: Path, write: Callable[[Double], Result]) -> Result:
    """What `write` took, if the double holds as many rows as it read records."""
    with started(program) as double:
        result = write(double)
        stored = double.rows()
        if stored != result.records:
            raise Failed(f"{result.records} records became {stored} rows")
        return result


def consumer(programs: Programs, program: Path, records: Format, delivery: str) -> Result:
    def write(double: Double) -> Result:
        addresses = {
            "BIGQUERY_PROJECT": PROJECT,
            "BIGQUERY_DATASET": DATASET,
            "BIGQUERY_CREDENTIALS": "none",
            "BIGQUERY_REST_URL": double.base,
            "BIGQUERY_GRPC_URL": double.grpc,
        }
        # What came last waits for this time, which is no part of a speed.
        flags = ["--sink", "bigquery", "--rotation-secs", "1", *records.flags, "--format-option", f"delivery={delivery}"]
        return programs.bench([records.topic], *flags, env=addresses)

    return into_double(program, write)


def google_client(programs: Programs, python: Path, program: Path, records: Format, delivery: str) -> Result:
    def write(double: Double) -> Result:
        reference = {"projectId": PROJECT, "datasetId": DATASET, "tableId": TABLE}
        double.post(f"/datasets/{DATASET}/tables", {"tableReference": reference, "schema": {"fields": records.columns()}})
        table = f"projects/{PROJECT}/datasets/{DATASET}/tables/{TABLE}"
        grpc = double.grpc.removeprefix("http://")
        asked = [programs.bootstrap, records.topic, grpc, table, delivery, *records.schema]
        return parse(run([str(python), str(GOOGLE_CLIENT), *asked]))

    return into_double(program, write)

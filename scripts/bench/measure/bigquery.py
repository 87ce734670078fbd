"""Measures the sink `bigquery` into a double of its own, which begins empty and is gone afterwards."""

import json
import subprocess
from pathlib import Path
from urllib.request import Request, urlopen

from .programs import Failed, Programs, Result

PROJECT, DATASET = "bench", "bench"


def measure(run: Programs, double: Path, topics: list[str], flags: list[str]) -> Result:
    started = subprocess.Popen([str(double)], stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        said = dict(started.stdout.readline().strip().partition("=")[::2] for _ in range(2))
        rest, grpc = said["STOWAGE_TEST_BIGQUERY_REST"], said["STOWAGE_TEST_BIGQUERY_GRPC"]
        make_dataset(f"{rest}/bigquery/v2")
        addresses = {
            "BIGQUERY_PROJECT": PROJECT,
            "BIGQUERY_DATASET": DATASET,
            "BIGQUERY_CREDENTIALS": "none",
            "BIGQUERY_REST_URL": f"{rest}/bigquery/v2",
            "BIGQUERY_GRPC_URL": grpc,
        }
        result = run.bench(topics, "--sink", "bigquery", *flags, env=addresses)
        stored = rows(rest)
        if stored != result.records:
            raise Failed(f"{result.records} records became {stored} rows")
        return result
    finally:
        started.terminate()
        started.wait()


def make_dataset(base: str) -> None:
    body = {"datasetReference": {"projectId": PROJECT, "datasetId": DATASET}}
    post = Request(f"{base}/projects/{PROJECT}/datasets", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(post) as answer:
        answer.read()


def rows(rest: str) -> int:
    with urlopen(f"{rest}/admin/state") as answer:
        return sum(table["stored"] for table in json.load(answer)["tables"])

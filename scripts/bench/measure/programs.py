"""Runs one program once over topics that are there, and reads what it says it took."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# No measurement takes longer: a slow machine needs seconds, a broken one is told of.
SECONDS_MAX = 900

# What the consumer sets, where librdkafka's default is another: common/src/kafka/clients.rs, consumer/src/start.rs.
CONSUMERS_SETTINGS = {
    "queued.max.messages.kbytes": "256",
    "max.partition.fetch.bytes": "262144",
    "fetch.max.bytes": "2097152",
    "fetch.queue.backoff.ms": "2",
    "fetch.wait.max.ms": "100",
}


class Failed(Exception):
    """A measurement that did not come about."""


@dataclass(frozen=True)
class Result:
    """What one run took; bytes are those of keys and values."""

    records: int
    bytes: int
    seconds: float
    cpu_seconds: float
    memory_peak_bytes: int
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def cpu_seconds_per_gb(self) -> float:
        return self.cpu_seconds / (self.bytes / 1e9)

    @property
    def megabytes_per_second(self) -> float:
        return self.bytes / 1e6 / self.seconds

    @property
    def memory_peak_megabytes(self) -> float:
        return self.memory_peak_bytes / 1e6


@dataclass(frozen=True)
class Programs:
    """Where everything is."""

    bootstrap: str
    # Only where librdkafka alone is measured.
    bare: Path | None
    consumer: Path
    schema: Path

    def librdkafka(self, topics: list[str], settings: dict[str, str]) -> Result:
        words = [word for setting in settings.items() for word in setting]
        return parse(run([str(self.bare), self.bootstrap, ",".join(topics), *words]))

    def bench(self, topics: list[str], *flags: str, env: dict[str, str] | None = None) -> Result:
        servers = ["--kafka-bootstrap-servers", self.bootstrap]
        return parse(run([str(self.consumer), "bench", *topics, *servers, "--log-filter", "warn", "--json", *flags], env))

    def avro(self) -> list[str]:
        return ["--format", "avro", "--format-option", "encoding=raw", "--format-option", f"schema=@{self.schema}"]


def run(command: list[str], env: dict[str, str] | None = None) -> str:
    try:
        ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS_MAX, env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired as error:
        raise Failed(f"not done after {SECONDS_MAX} s: {' '.join(command)}") from error
    if ran.returncode != 0:
        raise Failed(f"exit status {ran.returncode} of {' '.join(command)}: {ran.stderr[-2000:].strip()}")
    return ran.stdout


def parse(text: str) -> Result:
    """The last line, which is an object of JSON."""
    found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    known = {name: found.pop(name) for name in ("records", "bytes", "seconds", "cpu_seconds", "memory_peak_bytes")}
    result = Result(**known, extra=found)
    if result.extra.get("unparsed"):
        raise Failed(f"{result.extra['unparsed']} records could not be decoded: {text.strip()}")
    return result

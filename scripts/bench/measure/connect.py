"""Runs one sink of Kafka Connect over a topic, until everything is really stored."""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .programs import Failed, Result

# What is counted at each look costs the machine something, too.
LOOK_SECONDS = 0.2
SECONDS_MAX = 600
STOP_SECONDS = 60
HERE = Path(__file__).resolve().parent.parent / "connect"


@dataclass(frozen=True)
class Total:
    """What the topic holds: known from whoever read it before."""

    records: int
    bytes: int


@dataclass(frozen=True)
class Sink:
    """A connector, by its file and what is added to it."""

    file: str
    settings: dict[str, str]


class Worker:
    """One worker with one connector, and a folder of its own that is empty at first."""

    def __init__(self, bootstrap: str, topic: str, sink: Sink, work: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        (work / "out").mkdir(parents=True)
        self.work = work
        self.lines = Lines(work / "out" / "records.txt")
        # A new name: the sink's group has read nothing so far.
        name = f"bench-{time.time_ns()}"
        text = (HERE / sink.file).read_text().replace("@WORK@", str(work)).replace("@TOPIC@", topic).replace("@NAME@", name)
        text += "".join(f"{key}={value}\n" for key, value in sink.settings.items())
        connector = work / "connector.properties"
        connector.write_text(text)
        self.began = time.monotonic()
        with open(work / "console.log", "w") as console:
            command = [str(HERE / "worker.sh"), bootstrap, str(work), str(connector)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_peak_bytes(self) -> int:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0

    def is_reading(self) -> bool:
        log = self.work / "logs" / "server.log"
        return log.exists() and "Sink task finished initialization" in log.read_text(errors="replace")

    def stored(self) -> int:
        """Records that a reader would find now."""
        return max(self.lines.count(), rows_of_newest_snapshot(self.work / "out" / "lake" / "orders" / "metadata"))

    def output_bytes(self) -> int:
        return sum(file.stat().st_size for file in (self.work / "out").rglob("*") if file.is_file())


class Lines:
    """Counts the lines of a file that grows, each byte once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen = 0
        self.lines = 0

    def count(self) -> int:
        if self.path.exists():
            with open(self.path, "rb") as file:
                file.seek(self.seen)
                while piece := file.read(1 << 22):
                    self.seen += len(piece)
                    self.lines += piece.count(b"\n")
        return self.lines


def rows_of_newest_snapshot(metadata: Path) -> int:
    versions = {int(found[1]): file for file in metadata.glob("v*.metadata.json") if (found := re.search(r"v(\d+)\.", file.name))}
    if not versions:
        return 0
    try:
        snapshots = json.loads(versions[max(versions)].read_text()).get("snapshots") or []
    except ValueError:
        return 0  # it is being written
    return int(snapshots[-1]["summary"]["total-records"]) if snapshots else 0


def measure(bootstrap: str, topic: str, sink: Sink, total: Total, work: Path) -> Result:
    """From the moment its tasks run until all is stored; what the worker's start took stands beside it."""
    worker = Worker(bootstrap, topic, sink, work)
    try:
        reading: tuple[float, float] | None = None
        while True:
            if worker.process.poll() is not None:
                raise Failed(f"Kafka Connect ended with status {worker.process.returncode}, see {work}/logs and {work}/console.log")
            if reading is None and worker.is_reading():
                reading = (time.monotonic(), worker.cpu_seconds())
            stored = worker.stored()
            if stored >= total.records:
                break
            if time.monotonic() - worker.began > SECONDS_MAX:
                raise Failed(f"Kafka Connect stored {stored} of {total.records} records in {SECONDS_MAX} s, see {work}/logs")
            time.sleep(LOOK_SECONDS)
        if reading is None:
            raise Failed(f"Kafka Connect's log does not say when its tasks began, see {work}/logs")
        began, used = reading
        return Result(
            records=total.records,
            bytes=total.bytes,
            seconds=time.monotonic() - began,
            cpu_seconds=worker.cpu_seconds() - used,
            memory_peak_bytes=worker.memory_peak_bytes(),
            extra={
                "start_seconds": began - worker.began,
                "start_cpu_seconds": used,
                "stored_bytes": worker.output_bytes(),
                "stored_records": stored,
            },
        )
    finally:
        worker.stop()

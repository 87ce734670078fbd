"""Pure: what several rounds came to, as a table and as ratios."""

from collections.abc import Callable
from statistics import median

from .programs import Result

Rounds = dict[str, list[Result]]

# What a column is called, its digits, and how it follows from a result.
Measure = tuple[str, int, Callable[[Result], float]]

MEASURES: list[Measure] = [
    ("CPU s/GB", 2, lambda result: result.cpu_seconds_per_gb),
    ("CPU µs a record", 2, lambda result: result.cpu_seconds / result.records * 1e6),
    ("MB/s", 0, lambda result: result.megabytes_per_second),
    ("peak memory, MB", 0, lambda result: result.memory_peak_megabytes),
]


def spread(values: list[float], digits: int) -> str:
    """The median, and in brackets the least and the most."""
    middle = f"{median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(rounds: Rounds, first: str = "what reads", measures: list[Measure] = MEASURES) -> str:
    lines = head(first, measures)
    for what, results in rounds.items():
        cells = [spread([measure(result) for result in results], digits) for _, digits, measure in measures]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def head(first: str, measures: list[Measure]) -> list[str]:
    return [f"| {first} | " + " | ".join(name for name, _, _ in measures) + " |", "|---|" + "---|" * len(measures)]


def ratios(rounds: Rounds, pairs: list[tuple[str, str]], measures: list[Measure] = MEASURES) -> str:
    """The first of each pair divided by the second, within a round each."""
    lines = head("ratio", measures)
    for ours, theirs in pairs:
        if ours in rounds and theirs in rounds:
            cells = []
            for _, _, measure in measures:
                parts = [measure(a) / measure(b) for a, b in zip(rounds[ours], rounds[theirs], strict=True)]
                cells.append(spread(parts, 2))
            lines.append(f"| {ours} : {theirs} | " + " | ".join(cells) + " |")
    return "\n".join(lines)

"""Pure: the speed of one consumer as a drawing."""

from dataclasses import dataclass
from math import log10

STYLE = """text{font:12px system-ui,sans-serif;fill:#1f2328}
.title{font-size:15px;font-weight:600}
.paper{fill:#fff}
.grid{stroke:#d8dee4;stroke-width:1}
.line{stroke-width:1.5;fill:none}
.s0{stroke:#0550ae;fill:#0550ae}
.s1{stroke:#bc4c00;fill:#bc4c00}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.paper{fill:#0d1117}
.grid{stroke:#30363d}
.s0{stroke:#6cb6ff;fill:#6cb6ff}
.s1{stroke:#f0883e;fill:#f0883e}
}"""
WIDTH, HEIGHT = 860, 380
TOP, BOTTOM = 70, 320
PANELS = [(60, 420), (490, 830)]


@dataclass(frozen=True)
class Panel:
    """Lines over one quantity, which is drawn by its logarithm."""

    axis: str
    lines: dict[str, list[tuple[int, float]]]


def svg(title: str, panels: list[Panel]) -> str:
    top = nice(max(rate for panel in panels for line in panel.lines.values() for _, rate in line))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
        f"<title>{title}</title>\n<style>\n{STYLE}\n</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{PANELS[0][0]}" y="26">{title}</text>',
    ]
    for number, name in enumerate(panels[0].lines):
        x = PANELS[0][0] + number * 260
        parts.append(f'<circle class="s{number}" cx="{x + 4}" cy="46" r="4"/><text x="{x + 14}" y="50">{name}</text>')
    for (left, right), panel in zip(PANELS, panels, strict=True):
        parts += draw(panel, left, right, top)
    return "\n".join([*parts, "</svg>", ""])


def nice(most: float) -> float:
    """The next of 1, 2, 2.5, 5 and 10 times a power of ten, whose quarters are easily read."""
    power: float = 10.0 ** int(log10(most))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= most)


def draw(panel: Panel, left: int, right: int, top: float) -> list[str]:
    counts = sorted({count for line in panel.lines.values() for count, _ in line})
    span = log10(counts[-1] / counts[0]) or 1.0

    def x(count: int) -> float:
        return left + (right - left) * log10(count / counts[0]) / span

    def y(rate: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * rate / top

    parts = []
    for quarter in range(5):
        rate = top * quarter / 4
        parts.append(f'<line class="grid" x1="{left}" y1="{y(rate):.1f}" x2="{right}" y2="{y(rate):.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y(rate) + 4:.1f}" text-anchor="end">{rate:g}</text>')
    for count in counts:
        parts.append(f'<text x="{x(count):.1f}" y="{BOTTOM + 20}" text-anchor="middle">{count}</text>')
    parts.append(f'<text x="{(left + right) / 2}" y="{BOTTOM + 42}" text-anchor="middle">{panel.axis}</text>')
    for number, line in enumerate(panel.lines.values()):
        points = " ".join(f"{x(count):.1f},{y(rate):.1f}" for count, rate in line)
        parts.append(f'<polyline class="s{number} line" style="fill:none" points="{points}"/>')
        parts += [f'<circle class="s{number}" cx="{x(count):.1f}" cy="{y(rate):.1f}" r="4"/>' for count, rate in line]
    return parts

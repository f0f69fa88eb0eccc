"""The picture of streams held against lateness, as SVG, from what ``servers.py`` kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 40, 46  # around the field
LATEST, EARLIEST = 10_000.0, 1.0  # milliseconds, on a scale of powers of ten
COLOURS = ("#1a56b0", "#b3461b", "#4b6b1f", "#6a3d9a")


def svg(paced: Mapping[str, Mapping[str, Sequence[float] | None]], tps: int) -> str:
    """A line for each server, through the medians; a thin one over each shows the quarters. A number of streams that it did
    not hold to the end is where its line ends.

    >>> svg({"ours": {"100": [1.0, 2.0, 3.0], "200": [9.0, 20.0, 30.0]}}, 50).count("<circle")
    2
    """
    most = max(int(streams) for line in paced.values() for streams in line)

    def place(streams: int, late: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * streams / most
        return round(x, 1), level(late)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">How late tokens are at {tps} a second and stream: 99 of 100 are sooner</text>',
    ]
    for late in (1, 10, 100, 1000, 10_000):
        y = level(late)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{f"{late} ms" if late < 1000 else f"{late // 1000} s"}</text>'
        )
    ticks = sorted({int(streams) for line in paced.values() for streams in line})
    for streams in ticks:
        x = place(streams, 1)[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{streams}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">streams at once</text>')
    for (name, line), colour in zip(paced.items(), COLOURS, strict=False):
        held = [(int(streams), late) for streams, late in line.items() if late is not None]
        points = [place(streams, middle) for streams, (_, middle, _) in held]
        joined = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points]
        for streams, (low, _, high) in held:
            x = place(streams, low)[0]
            parts.append(f'<line x1="{x}" x2="{x}" y1="{level(low)}" y2="{level(high)}" stroke="{colour}"/>')
        x, y = points[-1]
        parts.append(f'<text x="{x + 8}" y="{y + 4}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def level(late: float) -> float:
    """The height of a lateness in milliseconds."""
    share = (log10(min(max(late, EARLIEST), LATEST)) - log10(EARLIEST)) / (log10(LATEST) - log10(EARLIEST))
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

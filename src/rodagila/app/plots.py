"""The geometry of the report's plots, in the units of their SVG view boxes; the templates only draw.

>>> [tick.text for tick in nice_ticks(0.70, 0.84)]
['0.70', '0.75', '0.80', '0.85']
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 720
HEIGHT = 300
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 20, 40
ROW = 24
LABEL_WIDTH = 220
VALUE_WIDTH = 96
LABEL_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Point:
    """One turn's metric with its interval."""

    x: float
    y: float
    top: float
    bottom: float
    text: str


@dataclass(frozen=True, slots=True)
class Lines:
    """A line with its interval band; ``band`` and ``line`` are SVG point lists, ``baseline`` is a level to compare."""

    points: tuple[Point, ...]
    line: str
    band: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    baseline: Tick | None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart: ``kind`` names its colour."""

    label: str
    text: str
    kind: str
    y: float
    x: float
    width: float
    text_x: float


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars from a common zero."""

    bars: tuple[Bar, ...]
    zero: float
    height: int
    width: int = WIDTH
    row: int = ROW
    label_x: int = LABEL_WIDTH - 8


def nice_ticks(low: float, high: float, count: int = 5) -> list[Tick]:
    """Return round values that cover ``low`` to ``high``; ``at`` is the value itself."""
    span = max(high - low, 1e-6)
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= count)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [Tick(n * step, f"{n * step:.{decimals}f}") for n in range(first, last + 1)]


def lines(names: Sequence[str], values: Sequence[tuple[float, float, float]], baseline: float | None = None) -> Lines:
    """Return the plot of ``values`` (value, low, high), one for each name on the x axis, and of a level."""
    levels = [baseline] if baseline is not None else []
    ticks = nice_ticks(min([low for _, low, _ in values] + levels), max([high for _, _, high in values] + levels))
    floor, span = ticks[0].at, (ticks[-1].at - ticks[0].at) or 1.0

    def x(index: int) -> float:
        usable = WIDTH - LEFT - RIGHT - 48
        return round(LEFT + 24 + (usable * index / (len(names) - 1) if len(names) > 1 else usable / 2), 2)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - floor) / span, 2)

    points = tuple(
        Point(x(i), y(value), y(high), y(low), f"{value:.3f}") for i, (value, low, high) in enumerate(values)
    )
    outline = [(point.x, point.top) for point in points] + [(point.x, point.bottom) for point in reversed(points)]
    return Lines(
        points,
        " ".join(f"{point.x},{point.y}" for point in points),
        " ".join(f"{across},{down}" for across, down in outline),
        tuple(Tick(point.x, name) for point, name in zip(points, names, strict=True)),
        tuple(Tick(y(tick.at), tick.text) for tick in ticks),
        None if baseline is None else Tick(y(baseline), f"{baseline:.3f}"),
    )


def bars(rows: Sequence[tuple[str, float, str, str]]) -> Bars:
    """Return horizontal bars of ``rows`` (label, value, text of the value, kind); negative values go to the left."""
    low = min(0.0, *(value for _, value, _, _ in rows))
    high = max(0.0, *(value for _, value, _, _ in rows))
    scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / ((high - low) or 1.0)
    zero = LABEL_WIDTH - low * scale
    drawn = []
    for index, (label, value, text, kind) in enumerate(rows):
        x, width = (zero + value * scale, -value * scale) if value < 0 else (zero, value * scale)
        text_x = x + width + 6
        drawn.append(Bar(shortened(label), text, kind, index * ROW, round(x, 2), round(width, 2), round(text_x, 2)))
    return Bars(tuple(drawn), round(zero, 2), max(1, len(rows)) * ROW)


def shortened(label: str, length: int = LABEL_LENGTH) -> str:
    """Return ``label`` with at most ``length`` characters."""
    return label if len(label) <= length else label[: length - 1] + "…"

"""Plots as SVG text: no script, no font from elsewhere, legible in black and white.

Colours are told apart by people who see fewer of them, and every curve has a mark of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#1d5c9e", "#c8571b", "#2b8257", "#86489f", "#a83262", "#66722a", "#3a7f8f", "#7a5a3a")
GREY = "#6b7280"
_MARKS = "osdtoxsd"
_WIDTH, _HEIGHT = 470, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 16, 44
_BAR, _CHARACTER = 24, 6.6
_TEXT = 11.5


@dataclass(frozen=True)
class Point:
    """One measured value; the interval, if there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """Points of one series, in the order of x."""

    name: str
    points: tuple[Point, ...]
    constant: bool = False
    """The predictor that looks at nothing: dashed and grey."""


@dataclass(frozen=True)
class Bar:
    """One value beside what the constant predictor reaches."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    constant: float | None = None


def curves(shown: Sequence[Curve], *, title: str, x_label: str) -> str:
    """Curves over a common x; bands are intervals."""
    points = [point for curve in shown for point in curve.points]
    xs = [point.x for point in points]
    ys = [y for p in points for y in (p.y, p.low, p.high) if y is not None]
    y_ticks = ticks(min(ys), max(ys))
    x_scale = _Scale(min(xs), max(xs), _LEFT + 6, _WIDTH - _RIGHT - 6)
    y_scale = _Scale(y_ticks[0], y_ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    parts = [*_y_axis(y_ticks, y_scale), *_x_axis(sorted(set(xs)), x_scale, x_label)]
    alone = sum(not curve.constant for curve in shown) == 1
    for curve, colour, _ in styled(shown):
        parts += _band(curve, colour, x_scale, y_scale) if alone else []
    for curve, colour, mark in styled(shown):
        parts += _line(curve, colour, mark, x_scale, y_scale)
    return _svg(_WIDTH, _HEIGHT, title, parts)


def bars(shown: Sequence[Bar], *, title: str, colour: str = COLOURS[0]) -> str:
    """Horizontal bars from zero, whiskers for intervals, a dashed tick for the constant."""
    values = [v for b in shown for v in (b.value, b.low, b.high, b.constant) if v is not None]
    x_ticks = ticks(min(0.0, *values), max(0.0, *values))
    left = 14 + _CHARACTER * max(len(bar.name) for bar in shown)
    bottom = 8 + _BAR * len(shown)
    scale = _Scale(x_ticks[0], x_ticks[-1], left, _WIDTH - 48)
    parts = [_rule(scale(t), 6, scale(t), bottom) for t in x_ticks]
    parts += [_text(scale(t), bottom + 16, number(t), "middle", GREY) for t in x_ticks]
    for row, bar in enumerate(shown):
        parts += _bar(bar, 8 + _BAR * row, left, scale, colour)
    parts.append(_rule(scale(0.0), 6, scale(0.0), bottom, "#374151"))
    return _svg(_WIDTH, bottom + 24, title, parts)


def key(shown: Sequence[Curve]) -> str:
    """A legend for curves, as HTML with small drawings."""
    items = []
    for curve, colour, mark in styled(shown):
        dash = ' stroke-dasharray="5 4"' if curve.constant else ""
        line = f'<path d="M1 7H27" stroke="{colour}" stroke-width="2"{dash}/>'
        drawn = line + ("" if curve.constant else _mark(mark, 14, 7, colour))
        items.append(
            f'<span><svg width="28" height="14" aria-hidden="true">{drawn}</svg>'
            f"{escape(curve.name)}</span>"
        )
    return f'<p class="key">{"".join(items)}</p>'


def styled(shown: Sequence[Curve]) -> Iterable[tuple[Curve, str, str]]:
    """Each curve with its colour and mark; the constant takes neither from the others."""
    measured = 0
    for curve in shown:
        if curve.constant:
            yield curve, GREY, ""
            continue
        yield curve, COLOURS[measured % len(COLOURS)], _MARKS[measured % len(_MARKS)]
        measured += 1


def ticks(low: float, high: float) -> list[float]:
    """Four to seven round numbers that enclose both."""
    span = (high - low) or abs(high) or 1.0
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((m for m in (1, 2, 2.5, 5, 10) if m * power >= rough), default=10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 10) for k in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """As few digits as tell ticks apart."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)


def _y_axis(values: Sequence[float], scale: _Scale) -> list[str]:
    rules = [_rule(_LEFT, scale(v), _WIDTH - _RIGHT, scale(v)) for v in values]
    return rules + [_text(_LEFT - 7, scale(v) + 4, number(v), "end", GREY) for v in values]


def _x_axis(values: Sequence[float], scale: _Scale, label: str) -> list[str]:
    base = _HEIGHT - _BOTTOM
    marks = [_rule(scale(v), base, scale(v), base + 4, "#9ca3af") for v in values]
    names = [_text(scale(v), base + 17, number(v), "middle", GREY) for v in values]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return [*marks, *names, _text(middle, _HEIGHT - 8, label, "middle", "#374151")]


def _band(curve: Curve, colour: str, x: _Scale, y: _Scale) -> list[str]:
    known = [p for p in curve.points if p.low is not None and p.high is not None]
    if curve.constant or len(known) < 2:
        return []
    upper = [f"{x(p.x)},{y(p.high or 0.0)}" for p in known]
    lower = [f"{x(p.x)},{y(p.low or 0.0)}" for p in reversed(known)]
    return [f'<polygon points="{" ".join(upper + lower)}" fill="{colour}" opacity=".14"/>']


def _line(curve: Curve, colour: str, mark: str, x: _Scale, y: _Scale) -> list[str]:
    path = " ".join(f"{x(p.x)},{y(p.y)}" for p in curve.points)
    dash = ' stroke-dasharray="5 4"' if curve.constant else ""
    line = (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"'
        f' stroke-linejoin="round"{dash}/>'
    )
    if curve.constant:
        return [line]
    return [line, *(_point(curve, p, colour, mark, x, y) for p in curve.points)]


def _point(curve: Curve, p: Point, colour: str, mark: str, x: _Scale, y: _Scale) -> str:
    between = "" if p.low is None or p.high is None else f" ({p.low:.3f} to {p.high:.3f})"
    said = escape(f"{curve.name}, {number(p.x)}: {p.y:.3f}{between}")
    return f"<g><title>{said}</title>{_mark(mark, x(p.x), y(p.y), colour)}</g>"


def _mark(kind: str, x: float, y: float, colour: str) -> str:
    style = f'fill="{colour}" stroke="#fff" stroke-width="1"'
    if kind == "s":
        return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" {style}/>'
    if kind == "d":
        return f'<path d="M{x} {y - 5:.1f}l5 5l-5 5l-5 -5z" {style}/>'
    if kind == "t":
        return f'<path d="M{x} {y - 5:.1f}l4.6 8.4h-9.2z" {style}/>'
    if kind == "x":
        cross = f"M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0 -7l-7 7"
        return f'<path d="{cross}" stroke="{colour}" stroke-width="2" fill="none"/>'
    return f'<circle cx="{x}" cy="{y}" r="4" {style}/>'


def _bar(bar: Bar, top: float, left: float, scale: _Scale, colour: str) -> list[str]:
    start, end, middle = scale(min(0.0, bar.value)), scale(max(0.0, bar.value)), top + _BAR / 2
    parts = [
        _text(left - 7, middle + 4, bar.name, "end", "#111827"),
        f'<rect x="{start}" y="{top + 4}" width="{max(end - start, 0.5):.1f}" height="{_BAR - 8}"'
        f' rx="1.5" fill="{colour}" opacity=".82"/>',
    ]
    furthest = end
    if bar.low is not None and bar.high is not None:
        low, high = scale(bar.low), scale(bar.high)
        whisker = f"M{low} {middle}H{high}M{low} {middle - 4}v8M{high} {middle - 4}v8"
        parts.append(f'<path d="{whisker}" stroke="#111827" stroke-width="1.2" fill="none"/>')
        furthest = max(furthest, high)
    if bar.constant is not None:
        x = scale(bar.constant)
        tick = f'<path d="M{x} {top}v{_BAR}" stroke='
        parts.append(f'{tick}"#fff" stroke-width="4.5"/>')  # so that it shows on a bar
        parts.append(f'{tick}"{GREY}" stroke-width="2" stroke-dasharray="4 2.5"/>')
        furthest = max(furthest, x) if x - furthest < 44 else furthest
    return [*parts, _text(furthest + 6, middle + 4, f"{bar.value:.3f}", "start", "#111827")]


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str = "#e5e7eb") -> str:
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{colour}" fill="none"/>'


def _text(x: float, y: float, said: str, anchor: str, colour: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{_TEXT}"'
        f' fill="{colour}">{escape(said)}</text>'
    )


def _svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )

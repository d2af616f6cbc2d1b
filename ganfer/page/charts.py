"""Curves over a training or a search as inline SVG, drawn by pure functions; colours come from the page's classes."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from ganfer.page.svg import Scale, nice_scale

WIDTH, HEIGHT = 420.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 12.0, 22.0, 34.0
TONES = ("second", "first", "third")  # each with a dash pattern of its own, so that colour is not the only difference


@dataclass(frozen=True)
class Line:
    """A curve: its name and its points (x, y). dots: single points without a line between them."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


def chart(lines: Sequence[Line], *, x_label: str, label: str, percent: bool = False) -> Markup:
    """At most three curves over a shared axis. label: what a screen reader says instead. percent: y are fractions."""
    assert 0 < len(lines) <= len(TONES)
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    across = nice_scale(xs, most=6, least_span=1e-9 if len(set(xs)) > 1 else 1.0)
    up = nice_scale(ys, least_span=0.02)
    parts = [*_grid(across, up, percent)]
    for tone, line in zip(TONES, lines, strict=False):
        places = [(_x(across, x), _y(up, y)) for x, y in line.points]
        if line.dots or len(places) == 1:
            parts += [f'<circle class="point {tone}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
        else:
            drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline class="line {tone}" points="{drawn}"/>')
    parts.append(_names(lines))
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="label" x="{middle:g}" y="{HEIGHT - 4:g}">{escape(x_label)}</text>')
    return Markup('<svg class="chart" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("".join(parts))
    )


def _grid(across: Scale, up: Scale, percent: bool) -> list[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = []
    for tick in up.ticks:
        y = _y(up, tick)
        text = f"{100 * tick:.3g}" if percent else f"{tick:.3g}"
        parts.append(f'<line class="tick" x1="{_LEFT:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="label end" x="{_LEFT - 6:g}" y="{y + 4:.1f}">{text}</text>')
    for tick in across.ticks:
        x = _x(across, tick)
        parts.append(f'<text class="label" x="{x:.1f}" y="{bottom + 15:g}">{tick:.4g}</text>')
    return parts


def _names(lines: Sequence[Line]) -> str:
    """The legend above the curves: a piece of each line and its name."""
    parts, x = [], _LEFT
    for tone, line in zip(TONES, lines, strict=False):
        if line.dots:
            parts.append(f'<circle class="point {tone}" cx="{x + 10:g}" cy="9" r="3"/>')
        else:
            parts.append(f'<line class="line {tone}" x1="{x:g}" x2="{x + 20:g}" y1="9" y2="9"/>')
        parts.append(f'<text class="name-of {tone}" x="{x + 25:g}" y="13">{escape(line.name)}</text>')
        x += 38 + 6.2 * len(line.name)
    return "".join(parts)


def _x(scale: Scale, value: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * scale.at(value) / 100


def _y(scale: Scale, value: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * scale.at(value) / 100

"""Plots as inline SVG, drawn by pure functions.

A strip is one row of a plot. Its x coordinates are percentages and its y coordinates pixels: it fills whatever width it
is given, from a phone to a poster, without ever scaling its marks or text. Colours come from the page's classes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from ganfer.page.blocks import Bin, Stat
from ganfer.page.numbers import points

_SILENT = 'aria-hidden="true" focusable="false"'
ROW = 24  # height of a strip, px
_PATHS = {
    "hollow": '<circle r="4.5"/>',
    "circle": '<circle r="4.5"/>',
    "up": '<path d="M0-6L5.6 4.4L-5.6 4.4Z"/>',
    "down": '<path d="M0 6L5.6-4.4L-5.6-4.4Z"/>',
    "diamond": '<path d="M-5.8 0L0-5.8L5.8 0L0 5.8Z"/>',
    "square": '<rect x="-4.2" y="-4.2" width="8.4" height="8.4"/>',
}


@dataclass(frozen=True)
class Scale:
    """Data values to percent of the width, with the ticks to draw. `low < high`; values outside are put on the edge."""

    low: float
    high: float
    ticks: Sequence[float]

    def at(self, value: float) -> float:
        """Percent of the width, 0..100."""
        return 100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def nice_scale(
    values: Iterable[float], *, include: Sequence[float] = (), most: int = 5, least_span: float = 0.02
) -> Scale:
    """The tightest scale over all values whose ticks are round numbers; at most about `most` intervals."""
    known = [value for value in (*values, *include) if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low < least_span:
        middle = (low + high) / 2
        low, high = min(low, middle - least_span / 2), max(high, middle + least_span / 2)
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(first * step, last * step, tuple(step * i for i in range(first, last + 1)))


def strip(*parts: str, height: float = ROW) -> Markup:
    """One row of a plot. Hidden from screen readers: it always stands in a table row that says the same in numbers."""
    drawn = "".join(parts)
    return Markup(f'<svg class="strip" width="100%" height="{height:g}" {_SILENT}>{drawn}</svg>')


def grid(scale: Scale, *, zero: bool = False, reference: float | None = None, height: float = ROW) -> str:
    """Tick lines; a heavier one at zero; a dashed one at a reference value."""
    lines = []
    for tick in scale.ticks:
        cls = "zero" if zero and abs(tick) < 1e-12 else "tick"
        lines.append(_vertical(scale.at(tick), height, cls))
    if reference is not None:
        lines.append(_vertical(scale.at(reference), height, "reference"))
    return "".join(lines)


def axis(scale: Scale, *, plus: bool = False) -> Markup:
    """Tick labels above the strips, in percent or points."""
    whole = all(abs(100 * tick - round(100 * tick)) < 1e-6 for tick in scale.ticks)
    labels = []
    for i, tick in enumerate(scale.ticks):
        text = points(abs(tick))
        text = text.removesuffix(".0") if whole else text
        sign = "" if abs(tick) < 1e-12 else "−" if tick < 0 else "+" if plus else ""
        # every other label can be left out where the plot is narrow
        cls = "label" if i % 2 == 0 else "label odd"
        labels.append(f'<text class="{cls}" x="{scale.at(tick):.2f}%" y="12">{sign}{text}</text>')
    return strip(*labels, height=16)


def estimate(stat: Stat, scale: Scale, *, y: float = ROW / 2, shape: str = "circle", tone: str = "plain") -> str:
    """A mark at the mean with its interval as a line; nothing where nothing is known."""
    parts = []
    if stat.low is not None and stat.high is not None:
        x1, x2 = scale.at(stat.low), scale.at(stat.high)
        parts.append(f'<line class="whisker {tone}" x1="{x1:.2f}%" x2="{x2:.2f}%" y1="{y:g}" y2="{y:g}"/>')
    if stat.mean is not None:
        place = f'x="{scale.at(stat.mean):.2f}%" y="{y:g}" overflow="visible"'
        parts.append(f'<svg class="mark {tone} {shape}" {place}>{_PATHS[shape]}</svg>')
    return "".join(parts)


def bar(start: float, end: float, *, y: float, height: float, cls: str) -> str:
    """A horizontal bar between two percentages of the width; at least a hairline when it is not empty."""
    if end <= start:
        return ""
    return f'<rect class="{cls}" x="{start:.2f}%" y="{y:g}" width="{max(end - start, 0.35):.2f}%" height="{height:g}"/>'


def single_bar(value: float, largest: float, *, cls: str = "bar", of: float | None = None) -> Markup:
    """A bar of `value`, with an outline of what it is a part `of`."""
    scale = 100 / largest if largest else 0.0
    outline = bar(0, of * scale, y=5, height=14, cls="outline") if of is not None else ""
    return strip(outline, bar(0, value * scale, y=5, height=14, cls=cls))


def marker(shape: str, tone: str) -> Markup:
    """A mark for a legend."""
    return Markup(
        f'<svg class="key" width="14" height="14" viewBox="-7 -7 14 14" {_SILENT}>'
        f'<g class="mark {tone} {shape}">{_PATHS[shape]}</g></svg>'
    )


def swatch(cls: str) -> Markup:
    """A piece of a bar for a legend."""
    drawn = f'<rect class="{cls}" x="1" y="1" width="16" height="10"/>'
    return Markup(f'<svg class="key" width="18" height="12" {_SILENT}>{drawn}</svg>')


def reliability(bins: Sequence[Bin], label: str) -> Markup:
    """A reliability diagram: confidence against accuracy, the diagonal, and how many images each bin holds.

    label: what a screen reader says instead of the picture.
    """
    side, left, top = 200.0, 34.0, 10.0

    def x(value: float) -> float:
        return left + side * value

    def y(value: float) -> float:
        return top + side * (1 - value)

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line class="tick" x1="{x(tick):g}" x2="{x(tick):g}" y1="{y(0):g}" y2="{y(1):g}"/>')
        parts.append(f'<line class="tick" x1="{x(0):g}" x2="{x(1):g}" y1="{y(tick):g}" y2="{y(tick):g}"/>')
        parts.append(f'<text class="label" x="{x(tick):g}" y="{y(0) + 15:g}">{100 * tick:g}</text>')
        parts.append(f'<text class="label end" x="{left - 6:g}" y="{y(tick) + 4:g}">{100 * tick:g}</text>')
    parts.append(f'<line class="reference" x1="{x(0):g}" y1="{y(0):g}" x2="{x(1):g}" y2="{y(1):g}"/>')
    most = max((b.count for b in bins), default=1)
    for b in bins:
        height = 46 * b.count / most
        corner = f'x="{x(b.confidence) - 4:.1f}" y="{y(0) - height:.1f}"'
        parts.append(f'<rect class="histogram" {corner} width="8" height="{height:.1f}"/>')
    path = " ".join(f"{x(b.confidence):.1f},{y(b.accuracy):.1f}" for b in bins)
    parts.append(f'<polyline class="curve" points="{path}"/>')
    parts += [f'<circle class="dot" cx="{x(b.confidence):.1f}" cy="{y(b.accuracy):.1f}" r="4"/>' for b in bins]
    parts.append(f'<text class="label" x="{x(0.5):g}" y="{top + side + 32:g}">confidence, %</text>')
    middle = y(0.5)
    parts.append(f'<text class="label" transform="rotate(-90 8 {middle:g})" x="8" y="{middle:g}">accuracy, %</text>')
    return Markup('<svg class="square" viewBox="0 0 244 246" role="img" aria-label="{}">{}</svg>').format(
        label, Markup("".join(parts))
    )


def _vertical(x: float, height: float, cls: str) -> str:
    # beyond the strip on both sides, so that the lines of neighbouring rows meet
    return f'<line class="{cls}" x1="{x:.2f}%" x2="{x:.2f}%" y1="-5" y2="{height + 5:g}"/>'


def curve(points_: Sequence[tuple[str, Stat, bool]], x_label: str, label: str) -> Markup:
    """Estimates with their intervals over equally spaced, labelled places, joined by a line; the chosen one is filled.

    points_: (label on the x axis, value, whether it was chosen). label: what a screen reader says instead.
    """
    width, height, left, right, top, bottom = 420.0, 230.0, 40.0, 12.0, 10.0, 40.0
    known = [value for _, stat, _ in points_ for value in stat.known]
    scale = nice_scale(known, least_span=0.02)
    step = (width - left - right) / len(points_)

    def x(i: int) -> float:
        return left + step * (i + 0.5)

    def y(value: float) -> float:
        return height - bottom - (height - top - bottom) * scale.at(value) / 100

    parts = []
    for tick in scale.ticks:
        parts.append(f'<line class="tick" x1="{left:g}" x2="{width - right:g}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="label end" x="{left - 6:g}" y="{y(tick) + 4:.1f}">{100 * tick:.3g}</text>')
    drawn = [(x(i), y(stat.mean)) for i, (_, stat, _) in enumerate(points_) if stat.mean is not None]
    joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in drawn)
    parts.append(f'<polyline class="curve" points="{joined}"/>')
    for i, (name, stat, chosen) in enumerate(points_):
        parts.append(f'<text class="label" x="{x(i):.1f}" y="{height - bottom + 16:g}">{escape(name)}</text>')
        if stat.low is not None and stat.high is not None:
            ends = f'y1="{y(stat.low):.1f}" y2="{y(stat.high):.1f}"'
            parts.append(f'<line class="whisker second" x1="{x(i):.1f}" x2="{x(i):.1f}" {ends}/>')
        if stat.mean is not None:
            shape = "circle" if chosen else "hollow"
            parts.append(f'<g class="mark second {shape}" transform="translate({x(i):.1f} {y(stat.mean):.1f})">')
            parts.append(f"{_PATHS['circle']}</g>")
    middle = (left + width - right) / 2
    parts.append(f'<text class="label" x="{middle:g}" y="{height - 5:g}">{escape(x_label)}</text>')
    return Markup('<svg class="chart" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, Markup("".join(parts))
    )

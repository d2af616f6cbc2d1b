"""The timeline's drawings as inline SVG that stretches to the page. Colours come from the page's classes."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from ganfer.live.viewers import Viewer

_WIDTH, _AREA, _STRIP = 1000, 74, 26  # in the drawings' own units


def area(layers: Sequence[np.ndarray], classes: Sequence[str]) -> Markup:
    """Layers (B,) of shares stacked from the bottom; their sum is at most 1."""
    x = _places(len(layers[0]))
    base = np.zeros(len(x))
    parts = []
    for layer, css in zip(layers, classes, strict=True):
        upper = base + np.append(layer, layer[-1])
        forth = " ".join(f"{a:.1f},{_AREA * (1 - b):.1f}" for a, b in zip(x, upper, strict=True))
        back = " ".join(f"{a:.1f},{_AREA * (1 - b):.1f}" for a, b in zip(x[::-1], base[::-1], strict=True))
        parts.append(f'<polygon class="{css}" points="{forth} {back}"/>')
        base = upper
    return _svg("".join(parts), _AREA)


def lines(series: Sequence[tuple[np.ndarray, str]]) -> Markup:
    """Curves (B,) in 0..1 through the middles of their bins."""
    parts = []
    for values, css in series:
        x = (_places(len(values))[:-1] + _places(len(values))[1:]) / 2
        points = " ".join(f"{a:.1f},{4 + (_AREA - 8) * (1 - b):.1f}" for a, b in zip(x, values, strict=True))
        parts.append(f'<polyline class="{css}" points="{points}"/>')
    return _svg("".join(parts), _AREA)


def strip(viewer: Viewer) -> Markup:
    """Two bands: attending, looking away or not known; and the expression shown most."""
    x = _places(len(viewer.seen))
    measured = np.isfinite(viewer.attention).any()
    states = []
    for place in range(len(viewer.seen)):
        if not viewer.seen[place] > 0:
            states.append(("gone", "gone"))
            continue
        attention = viewer.attention[place] if measured else 1.0
        state = "gone" if np.isnan(attention) else "here" if attention >= 0.5 else "away"
        states.append((state, f"e{int(np.argmax(viewer.scores[place]))}"))
    parts = []
    for band, (y, height) in enumerate(((0, 10), (11, 15))):
        start = 0
        for place in range(1, len(states) + 1):
            if place == len(states) or states[place][band] != states[start][band]:
                place_and_size = f'x="{x[start]:.1f}" y="{y}" width="{x[place] - x[start]:.1f}" height="{height}"'
                parts.append(f'<rect class="{states[start][band]}" {place_and_size}/>')
                start = place
    return _svg("".join(parts), _STRIP)


def _places(bins: int) -> np.ndarray:
    """Left edges of the bins, and the right edge of the last."""
    return np.linspace(0, _WIDTH, bins + 1)


def _svg(inner: str, height: int) -> Markup:
    box = f'viewBox="0 0 {_WIDTH} {height}" height="{height}" preserveAspectRatio="none"'
    return Markup(f'<svg {box} aria-hidden="true" shape-rendering="crispEdges">{inner}</svg>')

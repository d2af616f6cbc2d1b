"""A supersampled canvas for shapes on and about a head, with the coverage of the person kept beside the colours.

Shapes are collected first and painted by `finish`, so that all points of a face go through the projection together:
a face has some sixty small shapes, and numpy costs more per call than per point.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from ganfer.data.drawn.head import Field, Head, Points
from ganfer.data.drawn.identity import Colour

_FRACTION_BITS = 4
_Corners = NDArray[np.int32]
_Bytes = NDArray[np.uint8]
_Stroke = Callable[[_Corners, _Bytes, _Bytes], None]


def shift(colour: Colour, factor: float) -> Colour:
    """A colour made darker (< 1) or lighter (> 1)."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` moved towards `other` by `share` in 0..1."""
    keep = 1.0 - share
    return (
        one[0] * keep + other[0] * share,
        one[1] * keep + other[1] * share,
        one[2] * keep + other[2] * share,
    )


class Canvas:
    """Shapes in painter's order over a frame of (size, size) pixels, in the head's coordinates."""

    def __init__(self, size: int, scale: int, head: Head, ground: Colour) -> None:
        """`scale` canvas pixels per pixel; `ground` is the colour that partly covered pixels blend with."""
        self.size = size
        self.side = size * scale
        self._head = head
        self._ground = ground
        self._points: list[Points] = []  # (n, 3): x, y and either z or the lift over the surface
        self._on_surface: list[bool] = []
        self._strokes: list[_Stroke] = []

    def skin(self, x: Points, y: Points, colour: Colour, lift: float = 0.0) -> None:
        """Fill a polygon that lies on the head's surface, raised by `lift`."""
        points = np.empty((len(x), 3))
        points[:, 0], points[:, 1], points[:, 2] = x, y, lift
        self._add(points, True, _polygon(colour, covers=False))

    def fill(self, points: Points, colour: Colour) -> None:
        """Fill a polygon (n, 3) that belongs to the person but not to the front of the head."""
        self._add(points, False, _polygon(colour, covers=True))

    def hull(self, points: Points, colour: Colour) -> None:
        """Fill the convex hull of points (n, 3)."""
        fill = _polygon(colour, covers=True)
        self._add(points, False, lambda corners, rgb, cover: fill(cv2.convexHull(corners)[:, 0, :], rgb, cover))

    def line(self, points: Points, colour: Colour, width: float, *, covers: bool = False, closed: bool = False) -> None:
        """Stroke a polyline (n, 3) with round ends; `width` in frame widths, at least one canvas pixel."""
        pixels = max(1, round(width * self.side))

        def stroke(corners: _Corners, rgb: _Bytes, cover: _Bytes) -> None:
            cv2.polylines(rgb, [corners], closed, colour, pixels, cv2.LINE_AA, _FRACTION_BITS)
            if covers:
                cv2.polylines(cover, [corners], closed, (255,), pixels, cv2.LINE_AA, _FRACTION_BITS)

        self._add(points, False, stroke)

    def tint(self, points: Points, colour: Colour, share: float) -> None:
        """Mix a colour into a polygon (n, 3), like glass."""
        fill = _polygon(colour, covers=False)

        def stroke(corners: _Corners, rgb: _Bytes, cover: _Bytes) -> None:
            layer = rgb.copy()
            fill(corners, layer, cover)
            cv2.addWeighted(layer, share, rgb, 1.0 - share, 0.0, dst=rgb)

        self._add(points, False, stroke)

    def blend(self, points: Points, colour: Colour, share: Field) -> None:
        """Mix a colour into the hull of points (n, 3) by a share per frame pixel, (size, size) in 0..1."""

        def stroke(corners: _Corners, rgb: _Bytes, cover: _Bytes) -> None:
            inside = np.zeros_like(cover)
            cv2.fillPoly(inside, [cv2.convexHull(corners)[:, 0, :]], (255,), cv2.LINE_AA, _FRACTION_BITS)
            fine = cv2.resize(share, (self.side, self.side), interpolation=cv2.INTER_LINEAR)
            fine = (fine * inside * np.float32(1 / 255))[:, :, None]
            rgb[:] = rgb * (1.0 - fine) + np.array(colour, np.float32) * fine

        self._add(points, False, stroke)

    def finish(self) -> tuple[Field, Field]:
        """Paint everything: colours (size, size, 3) in 0..255 and coverage (size, size) in 0..1, averaged down."""
        rgb = np.empty((self.side, self.side, 3), np.uint8)
        rgb[:] = np.clip(self._ground, 0, 255).astype(np.uint8)
        cover = np.zeros((self.side, self.side), np.uint8)
        lengths = [len(points) for points in self._points]
        points = np.concatenate(self._points)
        raised = np.repeat(self._on_surface, lengths)
        points[raised, 2] += self._head.depth(points[raised, 0], points[raised, 1])
        frame = (self._head.project(points) * self.side - 0.5) * (1 << _FRACTION_BITS)
        corners = np.rint(frame).astype(np.int32)
        start = 0
        for length, stroke in zip(lengths, self._strokes, strict=True):
            stroke(corners[start : start + length], rgb, cover)
            start += length
        shape = (self.size, self.size)
        small = cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA).astype(np.float32)
        covered = cv2.resize(cover, shape, interpolation=cv2.INTER_AREA).astype(np.float32)
        return small, covered * np.float32(1 / 255)

    def _add(self, points: Points, on_surface: bool, stroke: _Stroke) -> None:
        self._points.append(points)
        self._on_surface.append(on_surface)
        self._strokes.append(stroke)


def _polygon(colour: Colour, *, covers: bool) -> _Stroke:
    def stroke(corners: _Corners, rgb: _Bytes, cover: _Bytes) -> None:
        cv2.fillPoly(rgb, [corners], colour, cv2.LINE_AA, _FRACTION_BITS)
        if covers:
            cv2.fillPoly(cover, [corners], (255,), cv2.LINE_AA, _FRACTION_BITS)

    return stroke

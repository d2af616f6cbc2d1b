"""The head as a solid: a stack of elliptic cross-sections that can be turned, projected, and looked up per pixel.

Head coordinates have their origin between the eyes; x runs to the viewer's right, y down, z towards the viewer; the
unit is half the width of the face. Frame coordinates run from 0 to 1 to the right and down.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganfer.data.drawn.face import Pose
from ganfer.data.drawn.identity import Identity

Points = NDArray[np.float64]
Field = NDArray[np.floating[Any]]

_DEPTH = 0.86  # of a cross-section, relative to its half width
_JAW_TRAVEL = 0.17  # of the chin, at jaw drop 1
_ROWS = 72
_LEVEL = np.linspace(0.0, 1.0, _ROWS)
EYE_LINE = 0.415  # of the eyes in the frame, before any shift


class Head:
    """The solid head of one identity in one pose."""

    def __init__(self, identity: Identity, pose: Pose, jaw_drop: float) -> None:
        self.pose = pose
        self.chin = identity.chin + _JAW_TRAVEL * jaw_drop
        self.crown = identity.crown
        # Half widths by row, crown to chin: two superellipses that meet with a level tangent just below the eyes.
        step = 2.0 * _LEVEL - 1.0
        rows = 0.1 + step * np.where(step < 0.0, self.crown + 0.1, self.chin - 0.1)
        upper = np.clip((0.1 - rows) / (self.crown + 0.1), 0.0, 1.0)
        lower = np.clip((rows - 0.1) / (self.chin - 0.1), 0.0, 1.0)
        dome = (1.0 - upper**2.5) ** 0.5
        oval = (1.0 - lower**identity.jaw_power) ** 0.62
        fullness = 1.0 + (identity.fullness - 1.0) * np.minimum(1.0, lower * 3.0)  # of the cheeks, not of the temples
        self._rows = rows
        self._half_width = np.maximum(0.02, np.where(rows < 0.1, dome, oval * fullness))
        yaw, pitch, roll = (math.radians(angle) for angle in (pose.yaw, pose.pitch, pose.roll))
        self.sin_yaw, self.cos_yaw = math.sin(yaw), math.cos(yaw)
        self._sin_pitch, self._cos_pitch = math.sin(pitch), math.cos(pitch)
        self._sin_roll, self._cos_roll = math.sin(roll), math.cos(roll)
        # A turned elliptic cross-section is again an ellipse: wider by this, its parameter ahead by that.
        self._reach = math.hypot(self.cos_yaw, _DEPTH * self.sin_yaw)
        self._ahead = math.atan2(_DEPTH * self.sin_yaw, self.cos_yaw)

    def half_width(self, y: Points) -> Points:
        """Half width of the head at each height."""
        return np.interp(y, self._rows, self._half_width)

    def surface(self, x: Points, y: Points, lift: float | Points = 0.0) -> Points:
        """Points (n, 3) on the front of the head, raised by `lift`."""
        return np.stack((x, y, self.depth(x, y) + lift), axis=1)

    def depth(self, x: Points, y: Points) -> Points:
        """z of the front of the head at each x and y."""
        width = self.half_width(y)
        across = np.clip(x / width, -1.0, 1.0)
        return _DEPTH * width * np.sqrt(1.0 - across * across)

    def project(self, points: Points) -> Points:
        """(n, 3) in head coordinates to (n, 2) in the frame."""
        x, y, z = points[:, 0], points[:, 1], points[:, 2]
        turned = x * self.cos_yaw + z * self.sin_yaw
        depth = z * self.cos_yaw - x * self.sin_yaw
        nodded = y * self._cos_pitch - (depth - 0.4) * self._sin_pitch  # nods about a point inside the head
        return self._to_frame(turned - 0.4 * self.sin_yaw, nodded)

    def outline(self) -> Points:
        """Points (n, 3) whose convex hull in the frame is the silhouette."""
        sides = []
        for quarter in (-0.5, 0.5):
            angle = math.pi * quarter - self._ahead
            x = self._half_width * math.sin(angle)
            z = _DEPTH * self._half_width * math.cos(angle)
            sides.append(np.stack((x, self._rows, z), axis=1))
        middle = self.surface(np.zeros(_ROWS), self._rows)
        return np.concatenate((*sides, middle))

    def look_up(self, size: int) -> tuple[Field, Field, Field]:
        """For each pixel of a (size, size) frame the head's x, y and half width there, clamped to the silhouette."""
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size
        right = (axis[None, :] - (0.5 + self.pose.shift_x)) / self.pose.scale
        down = (axis[:, None] - (EYE_LINE + self.pose.shift_y)) / self.pose.scale
        turned = right * np.float32(self._cos_roll) + down * np.float32(self._sin_roll) + np.float32(0.4 * self.sin_yaw)
        nodded = down * np.float32(self._cos_roll) - right * np.float32(self._sin_roll)
        table = self._half_width.astype(np.float32)
        y = nodded / np.float32(self._cos_pitch)
        for last in (False, True):
            width = self._row_lookup(table, y)
            angle = np.arcsin(np.clip(turned / (width * np.float32(self._reach)), -1.0, 1.0)) - np.float32(self._ahead)
            x = width * np.sin(angle)
            depth = np.float32(_DEPTH * self.cos_yaw) * width * np.cos(angle) - np.float32(self.sin_yaw) * x
            y = (nodded + (depth - np.float32(0.4)) * np.float32(self._sin_pitch)) / np.float32(self._cos_pitch)
            if last:
                width = self._row_lookup(table, y)
        return x, y, width

    def normals(self, x: Field, y: Field, width: Field) -> tuple[Field, Field, Field]:
        """The unrelieved surface normal, not normalised, in head coordinates; z is the larger the flatter."""
        drop = np.diff(self._half_width) / np.diff(self._rows)
        slope = self._row_lookup(np.append(drop, drop[-1]).astype(np.float32), y)
        across = np.clip(
            x / np.maximum(width, np.float32(0.5)), -1.0, 1.0
        )  # the chin is no edge, and then comes the neck
        # A face is flatter in front than an ellipsoid, hence the powers and the damped slope.
        front = np.sqrt(np.maximum(0.02, 1.0 - across * across))
        return across * np.abs(across) ** 0.5, np.clip(-0.45 * slope, -0.8, 0.9), front

    def to_head(self, light: tuple[float, float, float]) -> tuple[float, float, float]:
        """A direction of the frame, seen from the turned head."""
        x, y, z = light
        x, y = x * self._cos_roll + y * self._sin_roll, y * self._cos_roll - x * self._sin_roll
        y, z = y * self._cos_pitch + z * self._sin_pitch, z * self._cos_pitch - y * self._sin_pitch
        return x * self.cos_yaw - z * self.sin_yaw, y, z * self.cos_yaw + x * self.sin_yaw

    def _to_frame(self, right: Points, down: Points) -> Points:
        pose = self.pose
        x = right * self._cos_roll - down * self._sin_roll
        y = right * self._sin_roll + down * self._cos_roll
        return np.stack((0.5 + pose.shift_x + pose.scale * x, EYE_LINE + pose.shift_y + pose.scale * y), axis=1)

    def _row_lookup(self, table: Field, y: Field) -> Field:
        """Nearest row of a table by height; the rows are evenly spaced on either side of y = 0.1."""
        half = (_ROWS - 1) / 2.0
        step = np.where(y < 0.1, np.float32(half / (self.crown + 0.1)), np.float32(half / (self.chin - 0.1)))
        place = np.clip((y - np.float32(0.1)) * step + np.float32(half), np.float32(0.0), np.float32(_ROWS - 1.001))
        row = place.astype(np.intp)
        share = place - row.astype(np.float32)
        return table[row] * (1 - share) + table[row + 1] * share

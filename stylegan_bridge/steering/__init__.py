"""Steering a generator to the classes that it rarely draws; the score is any callable from images to logits.

Read `campaign` first: it fills every class's quota (`filling`). `moves` has the three ways to move a code, `spaces`
where codes lie, `result` what is asked for and what comes back, `state` the resume point.
"""

from stylegan_bridge.steering.campaign import Features, Judge, steer, thumbnails
from stylegan_bridge.steering.moves import Anchor, Direction, Found, Score, along, ascend, evolve, fit_direction, margin
from stylegan_bridge.steering.result import ClassReport, SteerConfig, SteerResult
from stylegan_bridge.steering.spaces import LatentSpace, PlainSpace, Prior, StyleSpace

__all__ = [
    "Anchor",
    "ClassReport",
    "Direction",
    "Features",
    "Found",
    "Judge",
    "LatentSpace",
    "PlainSpace",
    "Prior",
    "Score",
    "SteerConfig",
    "SteerResult",
    "StyleSpace",
    "along",
    "ascend",
    "evolve",
    "fit_direction",
    "margin",
    "steer",
    "thumbnails",
]

"""Signs that a training goes wrong: collapse onto a few faces, a discriminator that has won or learned by heart."""

from collections.abc import Mapping, Sequence
from typing import Any

COLLAPSED = 0.3  # of the real images' spread; see `collapse_alarms`
BY_HEART = 0.7  # of the way from its training images to generated ones, held-back images look to the discriminator
WON = 0.05  # a discriminator loss below this ...
WON_ROWS = 10  # ... for so many logged rows in a row leaves the generator without a signal


def collapse_alarms(diversity: Mapping[str, float], *, progress: float, transition: float) -> list[str]:
    """A line that names the classes whose samples vary less than `COLLAPSED` times as much as its real images.

    Before the conditioning is fully on, or in the first quarter of the training, low diversity is no news.
    """
    if progress < max(0.25, transition):
        return []
    low = [f"{name} ({100 * ratio:.0f}%)" for name, ratio in diversity.items() if ratio < COLLAPSED]
    if not low:
        return []
    remedy = (
        "raise gan.balance or gan.transition" if len(diversity) > 1 else "lower the learning rates or set gan.augment"
    )
    return [f"collapse: samples vary far less than real images in {', '.join(low)}; {remedy}"]


def discriminator_alarm(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line when the discriminator's loss stayed near zero over the last logged rows."""
    recent = [float(row["loss_discriminator"]) for row in history[-WON_ROWS:]]
    if len(recent) < WON_ROWS or max(recent) >= WON:
        return []
    return [
        f"the discriminator has won (loss below {WON} since step {history[-WON_ROWS]['step']}): "
        "lower gan.lr_discriminator, or use gan.regulariser spectral or r1 and gan.augment"
    ]


def memorisation_alarm(overfitting: float | None) -> list[str]:
    """A line when held-back images look nearly as false to the discriminator as generated ones; see `overfitting`."""
    if overfitting is None or overfitting < BY_HEART:
        return []
    return [
        f"the discriminator has memorised its training images ({overfitting:.0%}): the generator can only copy them "
        "from here on; set gan.ada_target=0.6 with gan.augment, use a smaller gan.base_channels, or add images"
    ]

"""Which arms were stopped while they still improved: between such arms equal steps measure who learns faster."""

from collections.abc import Mapping, Sequence

import numpy as np

_LEAST = 0.0025  # of balanced accuracy; less is no improvement worth training on for


def still_rising(histories: Sequence[Sequence[float]]) -> bool:
    """Whether the last fifth of an arm's validations improves on the fifth before by more than its standard error.

    histories: a figure at each validation, one sequence per seed. With one seed no error is known.
    """
    lengths = {len(history) for history in histories}
    if len(lengths) != 1 or min(lengths) < 2:
        return False
    table = np.array(histories, dtype=np.float64)
    part = max(1, table.shape[1] // 5)
    last, before = table[:, -part:], table[:, -2 * part : -part]
    gains = last.mean(axis=1) - before.mean(axis=1)
    spread = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    return float(gains.mean()) > max(float(spread), _LEAST)


def unfinished(histories: Mapping[str, Sequence[Sequence[float]]]) -> list[str]:
    """The arms, by title, whose trainings were not finished."""
    return [title for title, found in histories.items() if found and still_rising(found)]


def words(titles: Sequence[str], epochs: str = "classifier.epochs") -> str:
    """What to say of them; "" where there are none."""
    if not titles:
        return ""
    named = ", ".join(titles)
    return (
        f"Not finished: {named} still improved on validation when training was stopped, so a part of a difference may "
        f"be who learns faster. Train longer ({epochs})."
    )

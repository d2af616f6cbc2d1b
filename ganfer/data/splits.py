"""Which images train, choose and test: the source's own splits, else held out by class and by subject.

Whatever order files come in, the same images with the same seed are split the same way: each has a rank drawn from its
name.
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ganfer.data.imageset import SPLITS
from ganfer.data.sources.words import EVAL, meant_by_eval
from ganfer.runtime.seeding import stream

TRAIN, VAL, TEST, HELD_BACK = range(4)  # held back: val or test, as the rest of the source decides
NO_GROUP = -1
HELD = "images held out of train by"
_FOLDS = 20  # subjects are held out by twentieths


@dataclass(frozen=True)
class Splits:
    """codes: (N,) int8, 0 train, 1 val, 2 test. notes: what the user should know of how they came about."""

    codes: np.ndarray
    notes: Sequence[str] = field(default_factory=tuple)


def rank_of(name: str) -> int:
    """64 bits drawn from an image's name, which stand for its place in any shuffle."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def code_of(split: str) -> int:
    """A split's code; -1 where the source has none."""
    return (*SPLITS, EVAL).index(split) if split else -1


def assign(
    own: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    ranks: np.ndarray,
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    lone_val_is_test: bool = False,
    pinned: np.ndarray | None = None,
    merged: bool = False,
) -> Splits:
    """Split N images. Missing splits are held out of train: test first, then val.

    own: (N,) int8 from `code_of`, the source's split. labels: (N,) int. groups: (N,) int, `NO_GROUP` where unknown.
    ranks: (N,) uint64 from `rank_of`. val_fraction: share of the training images; test_fraction: share of all. pinned:
    (N,) bool, images that stay in train (synthetic ones). merged: they come into a set that has all splits, so what the
    source calls validation or test is just that.
    """
    codes = np.where(own < 0, TRAIN, own).astype(np.int8)
    codes[own == HELD_BACK] = code_of(meant_by_eval({SPLITS[code] for code in np.unique(own) if 0 <= code < HELD_BACK}))
    notes: list[str] = []
    if lone_val_is_test and not merged and not (codes == TEST).any():
        codes[codes == VAL] = TEST
    if len(codes) and not merged and not (codes == TRAIN).any():
        codes[:] = TRAIN
        notes.append("The source has no training split; its images are split anew.")
    pinned = np.zeros(len(codes), dtype=bool) if pinned is None else pinned
    for split, fraction in ((TEST, test_fraction), (VAL, val_fraction)):
        if (codes == split).any():
            continue
        free = np.flatnonzero((codes == TRAIN) & ~pinned)
        held = free[hold_out(labels[free], groups[free], ranks[free], fraction, seed=seed, purpose=SPLITS[split])]
        codes[held] = split
        if len(held):
            by = "subject" if (groups[free] != NO_GROUP).any() else "class"
            notes.append(f"{SPLITS[split]}: {len(held):,} {HELD} {by} (seed {seed}).")
    return Splits(codes, notes)


def hold_out(
    labels: np.ndarray, groups: np.ndarray, ranks: np.ndarray, fraction: float, *, seed: int, purpose: str
) -> np.ndarray:
    """Mask (N,) of images to hold out: `fraction` of every class, no group on both sides, every class kept.

    A class of one image stays in train; any larger class (without groups) gives at least one.
    """
    mask = np.zeros(len(labels), dtype=bool)
    single = np.flatnonzero(groups == NO_GROUP)
    mask[single] = _by_class(labels[single], ranks[single], fraction, seed, purpose)
    grouped = np.flatnonzero(groups != NO_GROUP)
    if len(grouped):
        order = grouped[np.argsort(ranks[grouped], kind="stable")]
        mask[order] = _by_group(labels[order], groups[order], fraction, seed, purpose)
    return mask


def _by_class(labels: np.ndarray, ranks: np.ndarray, fraction: float, seed: int, purpose: str) -> np.ndarray:
    mask = np.zeros(len(labels), dtype=bool)
    salt = stream(seed, f"split/{purpose}").integers(0, 2**63, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    shuffled = _mix(ranks.astype(np.uint64) ^ salt)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        mask[members[np.argsort(shuffled[members], kind="stable")[:count]]] = True
    return mask


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele et al. 2014): a bijection that scatters ranks anew for every seed."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed


def _by_group(labels: np.ndarray, groups: np.ndarray, fraction: float, seed: int, purpose: str) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    mask = np.zeros(len(labels), dtype=bool)
    folds = min(_FOLDS, len(np.unique(groups)), int(np.bincount(labels).max()))
    wanted = min(max(round(folds * fraction), 1), folds - 1)
    if wanted < 1:
        return mask
    # groups are numbered as they come; by first rank their numbers no longer depend on the files' order
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    renumbered = np.argsort(np.argsort(first))[inverse]
    state = int(stream(seed, f"split/{purpose}").integers(2**31))
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=state)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        parts = [held for _, held in cut.split(labels, labels, renumbered)]
    for held in parts[:wanted]:
        mask[held] = True
    for label in np.unique(labels):  # a class whose every subject was drawn goes back whole
        members = labels == label
        if mask[members].all():
            mask[np.isin(groups, groups[members])] = False
    return mask

"""How figures are written: fractions as points with one decimal, intervals in brackets, a true minus sign."""

from collections.abc import Sequence

METRICS = {"balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy", "macro_f1": "Macro-F1"}


ABSENT = "–"
_MINUS = "−"


def points(value: float | None) -> str:
    """A fraction as percent or points, `0.6234` as `62.3`; an en dash for None."""
    return ABSENT if value is None else _tidy(f"{100 * value:.1f}")


def signed(value: float | None) -> str:
    """A difference of fractions as points with its sign: `+1.2`, `−0.3`, `0.0`."""
    return ABSENT if value is None else _tidy(f"{100 * value:+.1f}")


def with_interval(mean: float | None, low: float | None, high: float | None) -> str:
    """`62.3 [60.1, 64.5]`; without the bracket when there is no interval."""
    return _bracket(points(mean), points(low), points(high))


def change_with_interval(change: float | None, low: float | None, high: float | None) -> str:
    """`+1.2 [−0.3, +2.7]`, in points."""
    return _bracket(signed(change), signed(low), signed(high))


def share(part: float, whole: float) -> str:
    """`12.3%`; an en dash when there is nothing to share."""
    return f"{100 * part / whole:.1f}%" if whole else ABSENT


def count(value: float | None) -> str:
    """`28,709`."""
    return ABSENT if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `48 s`, `3 min 12 s`, `2 h 05 min`."""
    if seconds is None:
        return ABSENT
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def confidence(level: float | None) -> str:
    """`95%` for 0.95, the common level when none was given."""
    return f"{100 * (0.95 if level is None else level):g}%"


def in_words(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def _bracket(estimate: str, low: str, high: str) -> str:
    return estimate if ABSENT in (estimate, low, high) else f"{estimate} [{low}, {high}]"


def _tidy(text: str) -> str:
    if float(text) == 0:
        return "0.0"
    return text.replace("-", _MINUS)

"""What trainings and measurements tell experiment trackers: one hook (`tracked`), TensorBoard and MLflow behind it.

`tracker` says what a tracker is, `hook` what stages call, `figures` makes metrics of nested results. `tensorboard` and
`mlflow` are trackers; others register under the entry point group `ganfer.trackers`. A tracker that fails is left out
from then on, with one warning; no training stops for it.
"""

from ganfer.tracking.figures import figures_of
from ganfer.tracking.hook import Tracked, check_trackers, tracked
from ganfer.tracking.tracker import Interval, TrackedRun, Tracker

__all__ = ["Interval", "Tracked", "TrackedRun", "Tracker", "check_trackers", "figures_of", "tracked"]

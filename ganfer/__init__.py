"""ganfer: synthetic-data augmentation with GANs for facial-expression classifiers, and whether it helped.

`ganfer.open("work")` gives the workspace's `Project`, whose methods are the commands of the same names.
Importing `ganfer` loads neither torch nor numpy; the heavy modules are loaded when first used.

Read `pipeline` first, the table of contents; `needs` makes what a command lacks, `workspace` holds what was made,
`status` lists it, `results` has what a command returns, `errors` what it fails with, `version` the version. The stages
have a folder each, in the order of the data: `data`, `gan`, `generate`, `label`, `classifier`, `experiment` (with
`statistics` and `report`). Beside them: `metrics` and `quality`, `review`, `tune`, `live` and `serve`, `share` and
`cards`, `tracking`. All stand on `config`, `page` and `runtime`; `cli` is the command line.
"""

import os
import sys
from typing import TYPE_CHECKING, Any

from ganfer.version import __version__

if TYPE_CHECKING:
    from ganfer.config import Config
    from ganfer.errors import GanferError
    from ganfer.pipeline import Project, open

if sys.platform == "darwin":  # operations that Apple's GPUs lack run on the processor; torch names each in a warning
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # read when torch is loaded

__all__ = ["Config", "GanferError", "Project", "__version__", "open"]

_HOME = {
    "Config": "ganfer.config",
    "GanferError": "ganfer.errors",
    "Project": "ganfer.pipeline",
    "open": "ganfer.pipeline",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ganfer' has no attribute {name!r}")

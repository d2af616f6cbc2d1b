"""A process that trains trials: one JSON line in per trial, JSON lines out for every report and the end.

Started as `python -m ganfer.tune.worker`. After each report it waits for the answer, whether to stop.
"""

import json
import sys
from pathlib import Path
from typing import Any, TextIO

from ganfer.runtime.signals import end_with_parent


def main() -> None:
    """Work until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever else prints must not get between the answers
    end_with_parent()
    import torch

    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        _work(json.loads(line), answers)


def _work(job: dict[str, Any], answers: TextIO) -> None:
    from classifiers import ClassifierError, TrainConfig
    from classifiers.errors import StorageError
    from ganfer.errors import GanferError
    from ganfer.tune.trial import Pruned, run_trial

    def answer(**message: Any) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    def report(part: int, figure: float) -> bool:
        answer(part=part, figure=figure)
        reply = sys.stdin.readline()
        if not reply:
            sys.exit(0)  # whoever asked is gone
        return bool(json.loads(reply)["stop"])

    try:
        config = TrainConfig(**job["config"])
        figures = run_trial(
            Path(job["data"]), Path(job["folder"]), config, job["seed"], job["device"], job["metric"], report
        )
        answer(figures=figures)
    except Pruned:
        answer(pruned=True)
    except StorageError as error:
        answer(storage=error.message)
    except ClassifierError as error:
        answer(problem=error.message)
    except GanferError as error:
        answer(problem=str(error))


if __name__ == "__main__":
    main()

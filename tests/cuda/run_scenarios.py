"""python run_scenarios.py [NAME ...]: the scenarios on the stand-in, one JSON line each; all of them without names."""

import contextlib
import json
import logging
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import torch
from fake_gpu import FakeCuda
from fake_log import PROJECT
from scenarios import SCENARIOS


def main() -> None:
    warnings.simplefilter("ignore")  # Fabric and torch warn of what a real GPU would have
    logging.disable(logging.ERROR)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or SCENARIOS:
        scenario, began = SCENARIOS[name], time.perf_counter()
        os.environ["CLASSIFIERS_CUDA_GRAPHS"] = scenario.graphs
        answer: dict[str, object] = {"name": name}
        with tempfile.TemporaryDirectory() as folder, FakeCuda(**scenario.machine) as gpu:
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    answer["figures"] = scenario.run(gpu, Path(folder), **scenario.settings)
            except Exception as error:
                answer["error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}{_place(error)}"
            if "-v" in sys.argv:
                print(gpu.log.summary(), file=sys.stderr)
        print(json.dumps(answer | {"seconds": round(time.perf_counter() - began, 2)}), flush=True)


def _place(error: Exception) -> str:
    """The project's line where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if any(p in Path(f.filename).parts for p in PROJECT) and "site-packages" not in f.filename]
    return f" at {'/'.join(Path(own[-1].filename).parts[-3:])}:{own[-1].lineno}" if own else ""


if __name__ == "__main__":
    main()

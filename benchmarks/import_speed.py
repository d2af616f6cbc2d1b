"""How long `ganfer --help` and every command's `--help` take, and that none of them loads torch.

    python benchmarks/import_speed.py [--rounds 5]

Each is a fresh process. The limit is 0.4 s each; the script exits with 1 when one is slower or loads torch. Writes
benchmarks/results/import_speed.json.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

LIMIT_SECONDS = 0.4
PROBE = """
import sys
from ganfer.cli.main import cli
cli(sys.argv[1:], standalone_mode=False)
print('torch' in sys.modules)
"""
LIST = """
import click, json
from ganfer.cli.main import cli
def walk(group, path):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found.append([*path, name])
        if isinstance(command, click.Group):
            walk(command, [*path, name])
found = [[]]
walk(cli, [])
print(json.dumps(found))
"""


def python(*arguments: str) -> str:
    """What a fresh Python prints."""
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def processor_seconds() -> float:
    """Processor time of all finished child processes: what a busy machine does not distort."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    load = [round(value, 2) for value in os.getloadavg()]
    results: dict[str, dict[str, float | bool]] = {}
    for command in json.loads(python("-c", LIST)):
        seconds, processor, loads_torch = [], [], False
        for _ in range(rounds):
            began, used = time.perf_counter(), processor_seconds()
            out = python("-c", PROBE, *command, "--help")
            seconds.append(time.perf_counter() - began)
            processor.append(processor_seconds() - used)
            loads_torch = loads_torch or out.splitlines()[-1] == "True"
        name = " ".join(["ganfer", *command, "--help"])
        results[name] = {
            "median_seconds": round(statistics.median(seconds), 3),
            "highest_seconds": round(max(seconds), 3),
            "median_processor_seconds": round(statistics.median(processor), 3),
            "loads_torch": loads_torch,
        }
    slow = [name for name, one in results.items() if one["median_seconds"] > LIMIT_SECONDS or one["loads_torch"]]
    machine = {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count(), "load_before": load}
    result = {"limit_seconds": LIMIT_SECONDS, "rounds": rounds, "python": platform.python_version(), **machine}
    result |= {"over_the_limit": slow, "commands": results}
    file = Path(__file__).parent / "results" / "import_speed.json"
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()

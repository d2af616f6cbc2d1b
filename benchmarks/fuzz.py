"""Every reader of foreign files and every route of the server against random damage: counts, worst time, memory.

    python benchmarks/fuzz.py [--rounds 2000] [--seed 0]

Each reader runs in a process of its own, whose memory is looked at before and after; a crash or a hang is a failure.
Writes benchmarks/results/fuzz.json and exits with 1 when anything else than a result or one line came out.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HANG_SECONDS = 600
sys.path.insert(0, str(ROOT / "tests"))


def main() -> None:
    """One process per reader, then the server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only is not None:
        print(json.dumps(_server(given) if given.only == "server" else _reader(given)))
        return
    import fuzzing

    names = [*(reader.name for reader in fuzzing.readers()), "server"]
    results = {name: _in_process(name, given) for name in names}
    report = {
        "rounds": given.rounds, "seed": given.seed, "python": platform.python_version(), "cores": os.cpu_count(),
        "machine": platform.machine(), "readers": results,
    }  # fmt: skip
    (ROOT / "benchmarks" / "results" / "fuzz.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    sys.exit(any("failure" in result for result in results.values()))


def _in_process(name: str, given: argparse.Namespace) -> dict[str, object]:
    command = [sys.executable, __file__, "--only", name, "--rounds", str(given.rounds), "--seed", str(given.seed)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        return {"failure": f"no end after {HANG_SECONDS} s"}
    if done.returncode:
        return {"failure": f"exit {done.returncode}: {done.stderr.strip()[-400:]}"}
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def _reader(given: argparse.Namespace) -> dict[str, object]:
    import fuzzing

    reader = next(reader for reader in fuzzing.readers() if reader.name == given.only)
    built = list(fuzzing.constructed().values()) if "networks" in reader.name or "bridge" in reader.name else []
    counts, worst, worst_at = {"read": 0, "refused": 0}, 0.0, -1
    with tempfile.TemporaryDirectory() as folder:
        for seed in reader.seeds:  # what is loaded when first needed is no part of the measurement
            fuzzing.Reader("", [], reader.read, reader.refuses, imports=True).one(seed, Path(folder))
        before = _peak_mb()
        for number in range(given.rounds + len(built)):
            damage = number - len(built)
            content = built[number] if damage < 0 else fuzzing.damaged(reader.seeds, damage + 1_000_000 * given.seed)
            began = time.process_time()
            counts[reader.one(content, Path(folder))] += 1
            if (took := time.process_time() - began) > worst:
                worst, worst_at = took, damage
    return {
        **counts, "worst_seconds": round(worst, 3), "worst_damage": worst_at,
        "peak_mb_before": before, "peak_mb": _peak_mb(),
    }  # fmt: skip


def _server(given: argparse.Namespace) -> dict[str, object]:
    import random

    import fuzzing
    import httpx
    from serving import encoded, scene, server_of, source_of, write_model

    bodies = [
        json.dumps({"instances": [[[0] * 16] * 16]}).encode(),
        json.dumps({"inputs": [{"name": "images", "shape": [1], "datatype": "BYTES", "data": ["aGk="]}]}).encode(),
        encoded(scene()), encoded(scene(), "JPEG"), encoded(scene(), "GIF"),
    ]  # fmt: skip
    paths = ("/v1/models/m:predict", "/v2/models/m/infer", "/analyze", "/analyze?faces=whole")
    encodings = ({}, {}, {}, {"Content-Encoding": "gzip"}, {"Inference-Header-Content-Length": "9"},
                 {"Content-Type": "multipart/form-data; boundary=x"})  # fmt: skip
    statuses: dict[str, int] = {}
    worst, before = 0.0, _peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        sources = [source_of("m", write_model(Path(folder)))]
        with server_of(sources, max_upload_mb=8).background() as listening, httpx.Client(timeout=60) as client:
            for number in range(given.rounds):
                rng = random.Random(number + 1_000_000 * given.seed)
                body = fuzzing.damaged(bodies, rng.randrange(2**40))
                began = time.perf_counter()
                answer = client.post(listening.url + rng.choice(paths), content=body, headers=rng.choice(encodings))
                worst = max(worst, time.perf_counter() - began)
                statuses[str(answer.status_code)] = statuses.get(str(answer.status_code), 0) + 1
                if answer.status_code >= 500:
                    return {"failure": f"{answer.status_code} at {number}: {answer.text[:200]}"}
    return {"statuses": statuses, "worst_seconds": round(worst, 3), "peak_mb_before": before, "peak_mb": _peak_mb()}


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()

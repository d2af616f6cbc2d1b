"""A bounded load on `ganfer serve` over loopback: answers per second and latencies, with batching and one by one.

    python benchmarks/serve_load.py [--seconds 4] [--detector-model FILE]

Clients are coroutines of this process that each keep one connection and ask again as soon as they are answered; they
share the machine with the server. Writes benchmarks/results/serve_load.json: per kind of request and number of clients,
requests per second, median and 99th percentile of the latency in milliseconds, failures; the server's memory between
rounds; the machine and its load.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gan_common import environment, save
from PIL import Image

from classifiers import create_model
from classifiers.files import save_weights
from ganfer.config import load_config
from ganfer.data.drawn import EXPRESSIONS, Face, render, render_rgba

SIZE = 48
CLIENTS = (1, 8, 64)
ROUNDS = 3  # of every measurement, in turn, so that a drift of the machine shows


def main() -> None:
    """Measure the server with batches of 64 and of 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--detector-model", type=Path)
    options = parser.parse_args()
    before = environment()
    model = load_config().classifier.model
    requests = {"one face, binary (v2)": binary_request(), "one face, PNG (TF Serving)": encoded_request()}
    rows, memory = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = write_model(Path(folder), model)
        for batch in (64, 1):
            with server(file, batch, None) as (port, process):
                asyncio.run(load(port, next(iter(requests.values())), 8, 1.0))  # warm
                memory.append({"batch": batch, "at": "start", "mb": resident_mb(process.pid)})
                for number in range(ROUNDS):
                    for kind, request in requests.items():
                        for clients in CLIENTS:
                            found = asyncio.run(load(port, request, clients, options.seconds))
                            rows.append({"request": kind, "batch": batch, "clients": clients, "round": number, **found})
                            print(json.dumps(rows[-1]), file=sys.stderr)
                    memory.append({"batch": batch, "at": f"round {number}", "mb": resident_mb(process.pid)})
        if options.detector_model:
            with server(file, 64, options.detector_model) as (port, process):
                for clients in CLIENTS:
                    found = asyncio.run(load(port, picture_request(), clients, options.seconds))
                    rows.append(
                        {"request": "picture of 640 x 480 (/analyze)", "batch": 64, "clients": clients, **found}
                    )
                    memory.append({"batch": 64, "at": f"pictures, {clients}", "mb": resident_mb(process.pid)})
    result = {"environment": before, "model": model, "seconds": options.seconds, "rows": rows, "memory": memory}
    save("serve_load", {**result, "gain": gains(rows)})


def gains(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests per second with batching against one by one, the mean of the rounds."""
    found = []
    for kind in dict.fromkeys(row["request"] for row in rows if row["batch"] == 1):
        for clients in CLIENTS:
            rate = {
                batch: statistics.mean(
                    row["per_second"]
                    for row in rows
                    if (row["request"], row["batch"], row["clients"]) == (kind, batch, clients)
                )
                for batch in (64, 1)
            }
            found.append({"request": kind, "clients": clients, "ratio": round(rate[64] / rate[1], 2)})
    return found


def write_model(folder: Path, name: str) -> Path:
    """A classifier of the default architecture; what it answers does not matter here."""
    network = create_model(name, len(EXPRESSIONS), 1, SIZE)
    card = {"architecture": name, "class_names": list(EXPRESSIONS), "channels": 1, "size": SIZE, "temperature": 1.0}
    save_weights(folder / "model.safetensors", network.state_dict(), card)
    return folder / "model.safetensors"


@contextlib.contextmanager
def server(file: Path, batch: int, detector: Path | None) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """`ganfer serve` as a user starts it; yields its port."""
    command = [sys.executable, "-m", "ganfer", "serve", "--classifier", f"bench={file}", "--port", "0"]
    command += ["--set", f"serve.batch={batch}", "--device", "cpu", "--set", "live.max_side=640"]
    command += ["--detector-model", str(detector)] if detector else ["--detector", "none"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=file.parent)
    try:
        assert process.stderr
        port = next(int(m[1]) for line in process.stderr if (m := re.search(r"serves http://[\d.]+:(\d+)", line)))
        yield port, process
    finally:
        process.terminate()
        process.communicate(timeout=60)


async def load(port: int, request: bytes, clients: int, seconds: float) -> dict[str, Any]:
    """Ask with so many clients for so long."""
    latencies: list[float] = []
    failures = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
            assert length
            await reader.readexactly(int(length[1]))
            latencies.append(time.perf_counter() - began)
            failures += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.perf_counter() - began
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        "per_second": round(len(latencies) / took, 1),
        "p50_ms": round(float(p50) * 1000, 2),
        "p99_ms": round(float(p99) * 1000, 2),
        "requests": len(latencies),
        "failures": failures,
    }


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def drawn_face() -> np.ndarray:
    """(1, 48, 48) uint8."""
    return render(Face.sample(0, "happy"), SIZE, 1)


def binary_request() -> bytes:
    """One face of 48 pixels as a binary tensor, scores as a binary tensor."""
    pixels = drawn_face().tobytes()
    given = {"name": "images", "shape": [1, 1, SIZE, SIZE], "datatype": "UINT8"}
    given["parameters"] = {"binary_data_size": len(pixels)}
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [given], "outputs": wanted}).encode()
    return post("/v2/models/bench/infer", head + pixels, f"Inference-Header-Content-Length: {len(head)}")


def encoded_request() -> bytes:
    """One face of 48 pixels as a PNG file in base64."""
    out = io.BytesIO()
    Image.fromarray(drawn_face()[0]).save(out, "PNG")
    body = {"instances": [{"b64": base64.b64encode(out.getvalue()).decode()}]}
    return post("/v1/models/bench:predict", json.dumps(body).encode())


def picture_request() -> bytes:
    """A scene with one drawn head as a JPEG file, as the live page sends it."""
    picture = Image.new("RGB", (640, 480), (170, 172, 175))
    head = Image.fromarray(render_rgba(Face.sample(5, "happy", difficulty=0.2), 300))
    picture.paste(head, (170, 110), head)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return post("/analyze", out.getvalue(), "Content-Type: image/jpeg")


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(status.split("VmRSS:")[1].split()[0]) / 1024, 1)


if __name__ == "__main__":
    main()

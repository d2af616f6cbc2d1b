"""Faces per second of `ganfer predict` on a 720p video made here: drawn faces that move over a wall.

    python benchmarks/predict_video.py [--seconds 6] [--rounds 3] [--people 1 3] --detector-model FILE

The classifier is untrained, for speed depends on its shape. Measured from the file to rows, and with the annotated
video. Writes benchmarks/results/predict_video.json, where rows for other numbers of people are kept.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from gan_common import RESULTS, environment, save, summary

from classifiers import Classifier, create_model
from ganfer.config import LiveConfig
from ganfer.data.drawn import Face, render_rgba
from ganfer.data.names import EXPRESSIONS
from ganfer.live.analyse import Analyser
from ganfer.live.detect import open_detector
from ganfer.live.predict import Request, predict
from ganfer.live.sources import find_sources

SIZE, RATE = (1280, 720), 25


def film(path: Path, people: int, seconds: float) -> int:
    """A 720p video with so many heads of 240 pixels; returns its frames."""
    heads = [render_rgba(Face.sample(20 + i, i % 7, difficulty=0.3), 240).astype(np.float32) for i in range(people)]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, SIZE)
    count = round(seconds * RATE)
    for number in range(count):
        frame = np.full((SIZE[1], SIZE[0], 3), (170, 180, 190), np.float32)
        for i, head in enumerate(heads):
            x = int(60 + i * 1000 / max(1, people) + 60 * np.sin(number / 20 + i))
            y = int(200 + 40 * np.cos(number / 15 + i))
            cover = head[:, :, 3:] / 255
            part = frame[y : y + 240, x : x + 240]
            part[:] = part * (1 - cover) + head[:, :, 2::-1] * cover
        writer.write(frame.astype(np.uint8))
    writer.release()
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the video")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--people", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--model", default="compact-small")
    parser.add_argument("--detector-model", type=Path)
    options = parser.parse_args()
    machine = environment("cpu")
    network = create_model(options.model, 7, 1, 48)
    what = f"ganfer predict on a 1280 x 720 video, {RATE} frames per second, classifier {options.model}"
    path = RESULTS / "predict_video.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    results = [
        row for row in before.get("results", []) if before["what"] == what and row["people"] not in options.people
    ]
    with tempfile.TemporaryDirectory() as folder:
        analyser = Analyser(
            Classifier(network, EXPRESSIONS[:7]), open_detector(model=options.detector_model, max_side=640)
        )
        for people in options.people:
            path = Path(folder) / f"{people}.mp4"
            count = film(path, people, options.seconds)
            rates: dict[bool, list[float]] = {False: [], True: []}
            faces, work = 0, []
            for _ in range(options.rounds):
                for pictures in rates:
                    request = Request(out=Path(folder) / "out", pictures=pictures)
                    began, cpu = time.perf_counter(), time.process_time()
                    done = predict(analyser, find_sources([path]), LiveConfig(), request)
                    rates[pictures].append(count / (time.perf_counter() - began))
                    faces = done.figures["faces"]
                    if not pictures:
                        work.append(1000 * (time.process_time() - cpu) / count)
            results.append(
                {
                    "people": people,
                    "frames": count,
                    "faces_found": faces,
                    "load": round(os.getloadavg()[0], 2),
                    "frames_per_second": summary(rates[False]),
                    "processor_ms_per_frame": summary(work),
                    "faces_per_second": round(float(np.median(rates[False])) * faces / count, 1),
                    "frames_per_second_with_annotated_video": summary(rates[True]),
                }
            )
    results.sort(key=lambda row: row["people"])
    save("predict_video", {"what": what, "results": results, "opencv": cv2.__version__, **machine})


if __name__ == "__main__":
    main()

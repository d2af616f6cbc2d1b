"""`python -m ganfer.data.drawn --out sheet.png`: a contact sheet, one row per expression."""

import argparse
from pathlib import Path

import cv2
import numpy as np

from ganfer.data.drawn.expressions import EXPRESSIONS
from ganfer.data.drawn.sets import draw_faces


def main() -> None:
    """Draw the sheet that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m ganfer.data.drawn", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--size", type=int, default=96, help="pixels per face (%(default)s)")
    parser.add_argument("--columns", type=int, default=12, help="faces per expression (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first face (%(default)s)")
    parser.add_argument("--difficulty", type=float, default=1.0, help="0 textbook .. 2 (%(default)s)")
    wanted = parser.parse_args()
    if wanted.columns < 1:
        parser.error(f"--columns must be at least 1, got {wanted.columns}")
    if wanted.out.suffix.lower() != ".png" or not wanted.out.parent.is_dir():
        parser.error(f"--out must be a .png in a folder that exists, got {wanted.out}")
    labels = np.repeat(np.arange(len(EXPRESSIONS)), wanted.columns)
    try:
        faces = draw_faces(
            range(wanted.seed, wanted.seed + len(labels)),
            labels,
            size=wanted.size,
            channels=3,
            difficulty=wanted.difficulty,
        )
    except ValueError as error:
        parser.error(str(error))
    grid = faces.reshape(len(EXPRESSIONS), wanted.columns, 3, wanted.size, wanted.size)
    sheet = grid.transpose(0, 3, 1, 4, 2).reshape(len(EXPRESSIONS) * wanted.size, -1, 3)
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(sheet[:, :, ::-1]))
    wanted.out.write_bytes(encoded.tobytes())


if __name__ == "__main__":
    main()

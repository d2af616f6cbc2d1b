"""A face drawn again from what its file says of itself: the generator, the seed or code, the class."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ganfer.data.provenance import read_facts
from ganfer.errors import DataError
from ganfer.gan.generator import Generator
from ganfer.generate.spaces import latent_space
from ganfer.runtime.files import digest_of

CODES = "codes.npy"


def redraw(path: Path, generator: Generator) -> np.ndarray:
    """The image (C, H, W) uint8 of a generated PNG drawn again from what the file says of itself.

    Equal to the file's pixels bit for bit on the device it names: a kind of processor, or a model of GPU. DataError
    when the file is none of this generator's.
    """
    facts = read_facts(path)
    if facts.get("synthetic") != "true" or "seed" not in facts:
        raise DataError(f"{path} does not say how it was drawn.", "Only PNGs that `ganfer generate` wrote do.")
    if facts["generator"] != generator.digest:
        raise DataError(
            f"{path} was drawn by generator {facts['generator'][:12]}, not {generator.digest[:12]}.", "Open that one."
        )
    for name, value in generator.facts.items():
        if facts.get(name) != str(value):
            raise DataError(
                f"{path} was drawn with {name} {facts.get(name)}, not {value}.", "Open the generator with that."
            )
    if "code" in facts:
        return redraw_steered(path, facts, generator)
    labels = None
    if generator.class_names is not None:
        labels = np.array([generator.class_names.index(facts["class"])])
    image: np.ndarray = generator.sample(np.array([int(facts["seed"])]), labels)[0]
    return image


def redraw_steered(path: Path, facts: Mapping[str, str], generator: Generator) -> np.ndarray:
    """The image (C, H, W) uint8 of a steered PNG, drawn again from its row of the batch's codes.

    DataError when the codes are not beside it, or are others.
    """
    file = path.parent.parent / CODES
    if not file.is_file() or digest_of(file) != facts["codes"]:
        raise DataError(f"{path}: {file} is missing or another batch's.", "A steered face is drawn from its codes.")
    code = np.load(file, mmap_mode="r")[int(facts["code"])]
    label = None if generator.class_names is None else generator.class_names.index(facts["class"])
    space = latent_space(generator, label)
    like = space.codes([0])
    image: np.ndarray = space.final(torch.from_numpy(np.array(code)[None]).to(like.device)).numpy()[0]
    return image

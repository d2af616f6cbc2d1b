"""Small sources of images, made on the spot: faces of noise, folders, zips and tars of them."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

Files = Mapping[str, bytes]


def pixels(seed: int, size: int = 20) -> np.ndarray:
    """(size, size) uint8, different for every seed."""
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def face(seed: int, size: int = 20) -> Image.Image:
    return Image.fromarray(pixels(seed, size))


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def png(seed: int, size: int = 20) -> bytes:
    return encoded(face(seed, size))


def classes(names: str, each: int, place: str = "", start: int = 0) -> dict[str, bytes]:
    """`each` images in a folder per class: place/class/i.png."""
    return {
        f"{place}{name}/{i}.png": png(start + 1000 * k + i) for k, name in enumerate(names.split()) for i in range(each)
    }


def folder(root: Path, files: Files) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    root.mkdir(exist_ok=True)
    return root


def zipped(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: Files) -> Path:
    """A tar, compressed as the name's end says."""
    how = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, how) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def packed(form: str, root: Path, files: Files) -> Path:
    """The files as a folder, zip or tar."""
    if form == "folder":
        return folder(root / "faces", files)
    return zipped(root / "faces.zip", files) if form == "zip" else tarred(root / f"faces.{form}", files)


FORMS = ("folder", "zip", "tar", "tar.gz", "tar.xz", "tar.bz2")

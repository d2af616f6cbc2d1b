"""Photos of every kind become upright RGB, or one clear line."""

import io
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganfer.errors import DataError
from ganfer.live.pictures import KEPT_PIXELS, animation_frames, as_rgb, is_animation, read_picture


def gradient(width: int = 40, height: int = 30) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack((x * 255 // width, y * 255 // height, np.full_like(x, 30)), axis=2).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_phone_photo_stands_upright(orientation: int, mode: str) -> None:
    upright = Image.fromarray(gradient()).convert(mode)
    back = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }.get(orientation, [])
    stored = upright
    for step in back:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = read_picture(encoded(stored, "PNG", exif=exif))
    assert (read == np.asarray(upright.convert("RGB"))).all()


def test_transparency_lies_over_white() -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, :, 0], pixels[:, 2:, 3] = 200, 255
    read = read_picture(encoded(Image.fromarray(pixels)))
    assert (read[:, :2] == 255).all()
    assert (read[:, 2:] == (200, 0, 0)).all()
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    read = read_picture(encoded(palette, "PNG", transparency=0))
    assert read.tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_sixteen_bits_become_eight() -> None:
    ramp = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    assert (read_picture(encoded(Image.fromarray(ramp)))[:, :, 1] == np.arange(256).reshape(16, 16)).all()


@pytest.mark.parametrize(
    ("mode", "kind"), [("1", "PNG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("LA", "PNG"), ("F", "TIFF")]
)
def test_odd_modes_become_rgb(mode: str, kind: str) -> None:
    read = read_picture(encoded(Image.fromarray(gradient()).convert(mode), kind))
    assert read.shape == (30, 40, 3)
    assert read.dtype == np.uint8
    assert read[:, -5:].mean() > read[:, :5].mean()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_hundred_megapixels_are_reduced_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"large.{kind.lower()}"
    small = Image.fromarray(np.asarray(Image.fromarray(gradient()).convert("L")))
    small.resize((10_000, 10_000), Image.Resampling.NEAREST).save(
        path, kind, **({"compress_level": 1} if kind == "PNG" else {})
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = read_picture(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert read.shape[0] * read.shape[1] <= KEPT_PIXELS
    assert read.shape[0] == pytest.approx(read.shape[1], abs=2)
    assert read[:, -100:].mean() > read[:, :100].mean() + 20
    if sys.platform == "linux":
        assert grown < 400_000  # KiB


def test_what_is_no_picture_is_said_in_one_line(tmp_path: Path) -> None:
    good = encoded(Image.fromarray(gradient(400, 300)), "JPEG")
    cases = {
        "empty": (b"", "is empty"),
        "text": (b"hello, I am no picture", "no picture in a format"),
        "cut": (good[: len(good) // 2], "is damaged"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture in a format"),
        "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture in a format"),
    }
    for name, (data, said) in cases.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        for source, shown in ((path, str(path)), (data, "The upload")):
            with pytest.raises(DataError, match=said) as failure:
                read_picture(source)
            assert shown in str(failure.value)
            assert "\n" not in str(failure.value)


def test_more_pixels_than_memory_allows_are_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    head = encoded(Image.new("1", (8, 8)))
    width = (30_000).to_bytes(4, "big")
    import zlib

    header = b"IHDR" + width + width + head[24:29]
    path.write_bytes(head[:12] + header + zlib.crc32(header).to_bytes(4, "big") + head[33:])
    with pytest.raises(DataError, match="too large .*limit 178 megapixels"):
        read_picture(path)


def test_an_animation_has_its_frames_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "anim.gif"
    frames = [Image.new("RGB", (20, 10), (value, 0, 0)) for value in (0, 120, 240)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 400, 100], loop=0)
    assert is_animation(path)
    found = list(animation_frames(path))
    assert [round(seconds, 3) for seconds, _ in found] == [0.0, 0.1, 0.5]
    assert [int(picture.image[0, 0, 0]) for _, picture in found] == pytest.approx([0, 120, 240], abs=3)
    assert all(picture.image.shape == (10, 20, 3) for _, picture in found)
    assert (read_picture(path) == found[0][1].image).all()


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (np.full((2, 2), 7, np.uint8), (7, 7, 7)),
        (np.full((2, 2, 1), 7, np.uint8), (7, 7, 7)),
        (np.full((2, 2, 3), (1, 2, 3), np.uint8), (3, 2, 1)),
        (np.full((2, 2, 4), (1, 2, 3, 9), np.uint8), (3, 2, 1)),
        (np.full((2, 2), 257 * 40, np.uint16), (40, 40, 40)),
        (np.full((2, 2), 300.0, np.float32), (255, 255, 255)),
    ],
)
def test_what_opencv_reads_becomes_rgb(frame: np.ndarray, expected: tuple[int, int, int]) -> None:
    assert as_rgb(frame)[0, 0].tolist() == list(expected)

"""Any image to (C, S, S) uint8: values worked out by hand."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from making_sources import encoded, face, pixels
from PIL import Image

from ganfer.data import decode as decoding
from ganfer.data.decode import Box, Target, Task, decode, decode_chunk
from ganfer.data.provenance import picture_comment, picture_text, read_facts, write_png

GREY = Target(16, 1)


def half(left: Any, right: Any, mode: str, size: int = 16) -> Image.Image:
    """The left half in one colour, the right in another."""
    image = Image.new(mode, (size, size), left)
    image.paste(right, (size // 2, 0, size, size))
    return image


def ends(data: bytes, channels: int = 1) -> tuple[list[int], list[int]]:
    """Values of the left-most and the right-most pixel of the middle row, per channel."""
    array = decode(data, Target(16, channels))
    assert array is not None
    assert array.shape == (channels, 16, 16)
    assert array.dtype == np.uint8
    return array[:, 8, 0].tolist(), array[:, 8, -1].tolist()


def test_pixels_of_the_right_size_stay_exactly_as_they_are() -> None:
    array = decode(encoded(face(3, 16)), GREY)
    assert array is not None
    assert np.array_equal(array[0], pixels(3, 16))


def test_grey_becomes_colour_by_repetition_and_colour_grey_by_luma() -> None:
    array = decode(encoded(face(3, 16)), Target(16, 3))
    assert array is not None
    assert all(np.array_equal(channel, pixels(3, 16)) for channel in array)
    assert ends(encoded(half((255, 0, 0), (0, 255, 0), "RGB"))) == ([76], [150])  # ITU-R 601


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "TGA", "PCX", "JPEG2000"])
def test_formats(form: str) -> None:
    data = encoded(half(10, 200, "L"), form, **({"lossless": True} if form == "WEBP" else {}))
    assert ends(data) == ([10], [200])


def test_sixteen_bits_are_scaled() -> None:
    array = np.full((16, 16), 257 * 20, dtype=np.uint16)
    array[:, 8:] = 257 * 180
    assert ends(encoded(Image.fromarray(array))) == ([20], [180])
    assert ends(encoded(Image.fromarray(array), "TIFF")) == ([20], [180])


def test_floats_between_0_and_1_are_scaled() -> None:
    array = np.zeros((16, 16), dtype=np.float32)
    array[:, 8:] = 0.6
    assert ends(encoded(Image.fromarray(array), "TIFF")) == ([0], [153])


def test_values_that_are_no_grey_levels_are_refused() -> None:
    ramp = np.linspace(-1, 1, 256, dtype=np.float32).reshape(16, 16)
    for array in (ramp, (ramp * 2**30).astype(np.int32), np.abs(ramp * 1e6)):
        data = encoded(Image.fromarray(array), "TIFF")
        assert decode_chunk([Task(data)], Target(16, 1)).reasons[0].startswith("unreadable (values from")
    nearly = np.repeat([[-0.02, 1.0]], 8, 1).repeat(16, 0).astype(np.float32)
    assert ends(encoded(Image.fromarray(nearly), "TIFF")) == ([0], [255])


def test_transparency_lies_over_white() -> None:
    assert ends(encoded(half((0, 0, 0, 0), (0, 0, 0, 255), "RGBA"))) == ([255], [0])
    assert ends(encoded(half((40, 128), (40, 255), "LA"))) == ([147], [40])  # 40 * 128/255 + 255 * 127/255
    palette = half(0, 1, "P")
    palette.putpalette([0, 0, 0, 90, 90, 90])
    assert ends(encoded(palette, transparency=0)) == ([255], [90])


def test_palette_bilevel_and_cmyk() -> None:
    palette = half(0, 1, "P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert ends(encoded(palette), 3) == ([255, 0, 0], [0, 0, 255])
    assert ends(encoded(half(0, 1, "1"))) == ([0], [255])
    left, right = ends(encoded(half((0, 255, 255, 0), (255, 255, 0, 0), "CMYK"), "JPEG", quality=100), 3)
    assert np.allclose([left, right], [[255, 0, 0], [0, 0, 255]], atol=12)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 64, 200])
def test_exif_orientation_is_honoured(form: str, channels: int, side: int) -> None:
    image = half(20, 220, "L", side).convert("RGB" if form == "WEBP" else "L")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter clockwise: left becomes top
    array = decode(encoded(image, form, exif=exif), Target(16, channels))
    assert array is not None
    assert np.allclose(array[:, 1, :], 20, atol=12)
    assert np.allclose(array[:, -2, :], 220, atol=12)


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block written by hand, (tag, type, count, four bytes) each, little-endian."""
    body = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + body + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_every_orientation_is_turned_as_a_viewer_turns_it(orientation: int, form: str) -> None:
    stored = Image.fromarray(np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((8, 8), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = decode(encoded(stored, form, exif=exif), GREY)
    assert array is not None
    corners = [int(array[0, y, x]) for y, x in ((2, 2), (2, 13), (13, 2), (13, 13))]
    shown = {
        1: [0, 80, 160, 240], 2: [80, 0, 240, 160], 3: [240, 160, 80, 0], 4: [160, 240, 0, 80],
        5: [0, 160, 80, 240], 6: [160, 0, 240, 80], 7: [240, 80, 160, 0], 8: [80, 240, 0, 160],
    }  # fmt: skip
    assert np.allclose(corners, shown[orientation], atol=6)


RATIONAL = (0x011A, 10, 1, struct.pack("<I", 2000))  # points behind the block


@pytest.mark.parametrize(
    ("block", "turned"),
    [
        (exif_block((0x0112, 3, 1, struct.pack("<I", 6)), RATIONAL), True),
        (exif_block((0x0112, 3, 1, struct.pack("<I", 99))), False),
        (exif_block((0x0112, 2, 4, b"six\0")), False),
        (exif_block((0x0112, 3, 2, struct.pack("<HH", 6, 6))), True),
        (b"Exif\0\0nonsense", False),
        (b"Exif\0\0", False),
    ],
)
def test_exif_that_cannot_be_rewritten_or_understood_loses_no_image(block: bytes, turned: bool) -> None:
    array = decode(encoded(half(20, 220, "L"), "JPEG", exif=block), GREY)
    assert array is not None
    first = array[0, 2, 2], array[0, 2, 13]
    assert np.allclose(first, (20, 20) if turned else (20, 220), atol=12)


def test_a_photo_with_a_second_picture_inside_is_its_first() -> None:
    data = encoded(half(10, 200, "L").convert("RGB"), "MPO", save_all=True, append_images=[half(90, 0, "RGB")])
    left, right = ends(data)
    assert np.allclose([*left, *right], [10, 200], atol=4)


def test_heic_of_a_phone_is_read_where_its_reader_is() -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs the extra heif")
    heif.register_heif_opener()
    left, right = ends(encoded(half(10, 200, "L", 64).convert("RGB"), "HEIF", quality=95))
    assert np.allclose([*left, *right], [10, 200], atol=6)


def test_ganfers_own_pictures_are_refused_by_their_mark() -> None:
    sheet = encoded(half(10, 200, "L"), "PNG", pnginfo=picture_text("contact sheet"))
    photo = encoded(half(10, 200, "L"), "JPEG", comment=picture_comment("annotated photo"))
    other = encoded(half(10, 200, "L"), "JPEG", comment=b"holiday")
    assert list(decode_chunk([Task(sheet), Task(photo), Task(other)], GREY).reasons) == [
        "a picture made by ganfer (contact sheet)", "a picture made by ganfer (annotated photo)", "",
    ]  # fmt: skip


def test_a_synthetic_image_says_so_in_xmp_too(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", pixels(1, 16)[None], {"seed": 1})
    with Image.open(tmp_path / "a.png") as image:
        packet = image.info["XML:com.adobe.xmp"]
    root = ElementTree.fromstring(packet.removeprefix("\ufeff"))
    space = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
    (found,) = [
        value for node in root.iter() for name, value in node.attrib.items() if name == f"{space}DigitalSourceType"
    ]
    assert found == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert read_facts(tmp_path / "a.png")["seed"] == "1"


def test_the_first_frame_of_an_animation() -> None:
    data = encoded(half(10, 200, "L"), "GIF", save_all=True, append_images=[half(0, 90, "L")])
    assert ends(data) == ([10], [200])


def test_an_oblong_image_gives_its_middle_square() -> None:
    wide = np.zeros((16, 48), dtype=np.uint8)
    wide[:, 16:32] = pixels(1, 16)
    array = decode(encoded(Image.fromarray(wide)), GREY)
    assert array is not None
    assert np.array_equal(array[0], pixels(1, 16))


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((10, 10, 26, 26), (10, 26), (10, 26)),
        ((10, 14, 26, 22), (10, 26), (10, 26)),  # flat: widened around its centre
        ((0, -6, 16, 10), (0, 16), (0, 16)),  # over the edge: what lies inside, widened and moved inside
        ((24, 34, 46, 50), (24, 40), (24, 40)),
    ],
)
def test_a_face_box_is_cut_as_a_square(box: Box, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    array = decode(encoded(face(2, 40)), GREY, box)
    assert array is not None
    assert np.array_equal(array[0], pixels(2, 40)[slice(*rows), slice(*columns)])


def test_a_box_outside_the_image_is_a_reason() -> None:
    task = Task(encoded(face(2, 40)), (50, 50, 60, 60))
    assert decode_chunk([task], GREY).reasons == ["face box outside the image"]


def test_shrinking_is_antialiased_and_the_fast_path_agrees_with_the_slow() -> None:
    stripes = np.zeros((1024, 1024), dtype=np.uint8)
    stripes[:, ::2] = 200  # finer than the target can show: grey, not moire
    stripes[:512] = 30
    array = decode(encoded(Image.fromarray(stripes)), GREY)
    assert array is not None
    assert np.all(np.abs(array[0, 9:].astype(int) - 100) <= 2)

    smooth = Image.fromarray(pixels(4, 12)).resize((1000, 1000), Image.Resampling.BICUBIC)
    slow = np.asarray(smooth.resize((16, 16), Image.Resampling.LANCZOS)).astype(int)
    for form in ("PNG", "JPEG"):  # by reduction, and by libjpeg's own scaling
        fast = decode(encoded(smooth, form, **({"quality": 95} if form == "JPEG" else {})), GREY)
        assert fast is not None
        assert np.abs(fast[0] - slow).max() <= 4, form


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unreadable (empty file)"),
        (b"GIF89a", "unreadable"),
        (b"hello world", "unreadable (not an image)"),
        (encoded(face(1, 64), "JPEG")[:-600], "unreadable"),
        (encoded(face(1, 64), "PNG")[:-600], "unreadable"),
        (encoded(Image.new("L", (20, 20), 7)), "blank"),
        (encoded(face(1, 9)), "tiny (9 x 9)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n", "unreadable (not an image)"),
    ],
)
def test_what_cannot_be_used_gets_a_reason(data: bytes, reason: str) -> None:
    result = decode_chunk([Task(data), Task(encoded(face(1, 16)))], Target(16, 1, min_side=10))
    assert result.reasons[0].startswith(reason)
    assert result.reasons[1] == ""
    assert len(result.pixels) == 1
    assert decode(data, Target(16, 1, min_side=10)) is None


def test_a_png_that_claims_a_billion_pixels_is_refused_without_being_read() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    assert "unreadable" in decode_chunk([Task(data)], GREY).reasons[0]
    assert "pixels" in decode_chunk([Task(data)], GREY).reasons[0]


def test_the_limit_of_pixels_holds_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 20 * 20)
    result = decode_chunk([Task(encoded(face(1, 20))), Task(encoded(face(1, 21)))], GREY)
    assert list(result.reasons) == ["", "unreadable (21 x 21 pixels, limit 400)"]


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(face(1)))
    monkeypatch.setattr(decoding, "MAX_FILE_BYTES", 10)
    assert "limit 10" in decode_chunk([Task(path)], GREY).reasons[0]


def test_ganfers_own_images_are_known_by_their_mark(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", pixels(1, 16)[None], {"seed": 1})
    again = io.BytesIO()
    Image.open(tmp_path / "a.png").save(again, "PNG")  # saved anew by another program: the mark is gone
    assert list(decode_chunk([Task(tmp_path / "a.png"), Task(again.getvalue())], GREY).synthetic) == [True, False]

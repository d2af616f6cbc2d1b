"""Contact sheets: every image is where it belongs, at a size that can be made out, with its caption."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from textures import image_set, textures

from ganfer.data.sheets import class_sheet, contact_sheet, pick, row_sheet, save_sheet


def flat(values: list[int], size: int = 10, channels: int = 1) -> np.ndarray:
    """One image per value, filled with it."""
    return np.array(values, dtype=np.uint8)[:, None, None, None] * np.ones((1, channels, size, size), dtype=np.uint8)


def test_images_are_laid_out_row_by_row() -> None:
    sheet = np.asarray(contact_sheet(flat([10, 20, 30, 40, 50]), columns=2, scale=3))
    assert sheet.shape == (3 * 32 - 2, 2 * 32 - 2, 3)
    assert [int(sheet[y * 32 + 15, x * 32 + 15, 0]) for y, x in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0))] == [
        10, 20, 30, 40, 50,
    ]  # fmt: skip
    assert sheet[80, 50].tolist() == [255, 255, 255]  # no sixth image


def test_pixels_are_enlarged_without_smoothing() -> None:
    image = textures(1, size=16)
    sheet = np.asarray(contact_sheet(image, scale=4))
    assert (sheet[::4, ::4, 0] == image[0, 0]).all()
    assert len(np.unique(sheet[:4, :4])) == 1


def test_colour_stays_colour() -> None:
    red = np.zeros((1, 3, 8, 8), dtype=np.uint8)
    red[:, 0] = 200
    assert np.asarray(contact_sheet(red, scale=1))[4, 4].tolist() == [200, 0, 0]


@pytest.mark.parametrize(("size", "side"), [(16, 80), (32, 96), (48, 96), (72, 72), (128, 128)])
def test_small_images_are_enlarged_until_they_can_be_made_out(size: int, side: int) -> None:
    assert contact_sheet(flat([1], size=size)).size == (side, side)


def test_captions_stand_under_their_image_and_stay_in_its_width() -> None:
    plain = contact_sheet(flat([0, 0]), columns=2, scale=8)
    sheet = contact_sheet(flat([0, 0]), columns=2, scale=8, captions=["", "a caption far too long for its tile"])
    assert sheet.size == (plain.width, plain.height + 15)
    ink = np.asarray(sheet.convert("L"))[82:] < 128
    assert not ink[:, :82].any()
    assert ink[:, 82:].any()


def test_no_images_make_a_sheet_too() -> None:
    assert contact_sheet(np.empty((0, 1, 8, 8), dtype=np.uint8)).size == (72, 1)
    assert row_sheet([("empty", "0", np.empty((0, 1, 8, 8), dtype=np.uint8))]).width > 1


def test_a_class_sheet_shows_each_class_in_its_row() -> None:
    images = image_set(np.concatenate([flat([50] * 5), flat([200] * 2)]), labels=[0] * 5 + [2] * 2)
    sheet = np.asarray(class_sheet(images, per_class=3).convert("L"))
    assert sheet.shape[0] == 3 * (8 * 10 + 2)
    body = sheet[:, -3 * 82 :]
    assert [int((body[row * 82 + 40] == value).sum()) // 80 for row, value in ((0, 50), (1, 50), (2, 200))] == [3, 0, 2]


def test_the_same_seed_picks_the_same_images_of_the_class_and_split() -> None:
    images = image_set(textures(20, size=8), labels=[0, 1] * 10, split=["train"] * 12 + ["test"] * 8)
    chosen = pick(images, 1, 4, seed=3, split="train")
    assert chosen.tolist() == pick(images, 1, 4, seed=3, split="train").tolist()
    assert chosen.tolist() != pick(images, 1, 4, seed=4, split="train").tolist()
    assert len(chosen) == 4
    assert (images.labels[chosen] == 1).all()
    assert (images.split[chosen] == "train").all()
    assert pick(images, 1, 99).tolist() == list(range(1, 20, 2))


def test_a_saved_sheet_is_a_whole_png(tmp_path: Path) -> None:
    path = save_sheet(tmp_path / "deep" / "sheet.png", contact_sheet(flat([9])))
    with Image.open(path) as image:
        assert image.format == "PNG"
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]

"""Many images: a lazy stream of batches, style mixing, the face cut out at a given size, PNG files on the way."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.exact import exact
from stylegan_bridge.generator import Generator, check_seeds, latents
from stylegan_bridge.network import NoiseMode
from stylegan_bridge.transfer import to_device

#: Left, top, right, bottom as fractions of an FFHQ-aligned image: a crop as tight as FER2013's. FFHQ's alignment puts
#: the eyes at 0.474 of the height and a quarter of the width apart (Karras et al. 2019, appendix A); here they come to
#: lie at 0.385 of the crop's height and 0.36 of its width apart, the medians of FER2013's faces.
FFHQ_FACE = (0.153, 0.207, 0.847, 0.901)
#: Rec. 601 luma, as Pillow's "L" mode has it.
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Batch:
    """Images (N, C, H, W) uint8 and the seeds they were drawn from."""

    seeds: tuple[int, ...]
    images: Tensor


class Stream:
    """A sized iterable of batches, each drawn when it is asked for; it can be gone through again."""

    def __init__(self, batches: Sequence[tuple[int, ...]], draw: Callable[[tuple[int, ...], int], Tensor]) -> None:
        self._batches, self._draw = batches, draw

    def __len__(self) -> int:
        """How many batches."""
        return len(self._batches)

    @property
    def num_images(self) -> int:
        """How many images in all."""
        return sum(map(len, self._batches))

    def __iter__(self) -> Iterator[Batch]:
        first = 0
        for seeds in self._batches:
            yield Batch(seeds, self._draw(seeds, first))
            first += len(seeds)


def stream(
    generator: Generator,
    seeds: Sequence[int],
    class_index: int | Sequence[int] | None = None,
    *,
    truncation_psi: float = 1.0,
    noise_mode: NoiseMode = "const",
    batch_size: int = 32,
    size: int | None = None,
    channels: int | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> Stream:
    """The images of `seeds` in batches, in constant memory; with `size`, `channels` or `box` through `face_crop`.

    The request is checked here, before the first image is drawn.

    Example: `save_pngs(stream(generator, range(1000), size=48), Path("faces"))`.
    """
    checked = check_seeds(seeds)
    if batch_size < 1:
        raise BridgeError(f"batch_size must be 1 or more, not {batch_size}")
    classes = generator.classes(class_index, len(checked))
    if box is not None:
        _check_box(box)

    def draw(wanted: tuple[int, ...], first: int) -> Tensor:
        own = None if classes is None else classes[first : first + len(wanted)]
        images = generator.sample(wanted, own, truncation_psi, noise_mode)
        if size is None and channels is None and box is None:
            return images
        return face_crop(images, size or generator.resolution, channels or generator.img_channels, box=box)

    return Stream([tuple(checked[i : i + batch_size]) for i in range(0, len(checked), batch_size)], draw)


def mix_styles(
    generator: Generator,
    content_seeds: Sequence[int],
    style_seeds: Sequence[int],
    layers: Sequence[int],
    class_index: int | Sequence[int] | None = None,
    *,
    truncation_psi: float = 1.0,
    noise_mode: NoiseMode = "const",
) -> Tensor:
    """Image i has w of content_seeds[i], but of style_seeds[i] in `layers` (0: the coarsest; Karras et al. 2019).

    Example: `mix_styles(generator, [1, 2], [3, 4], layers=range(8, 14))`.
    """
    content, style = check_seeds(content_seeds), check_seeds(style_seeds)
    if len(content) != len(style):
        raise BridgeError(f"{len(content)} content seeds and {len(style)} style seeds; they go in pairs")
    num_ws = generator.config.num_ws
    if bad := [layer for layer in layers if not 0 <= layer < num_ws]:
        raise BridgeError(f"layer {bad[0]} is outside 0..{num_ws - 1}")
    labels = generator.labels(class_index, len(content))
    ws = _ws(generator, content, labels, truncation_psi)
    at = to_device(torch.tensor(layers, dtype=torch.int64), ws.device)
    ws[:, at] = _ws(generator, style, labels, truncation_psi)[:, at]
    return generator.sample_ws(ws, noise_mode, content)


@torch.no_grad()
def _ws(generator: Generator, seeds: Sequence[int], labels: Tensor | None, psi: float) -> Tensor:
    """Row by row, so that an image does not depend on the ones it is drawn with."""
    z = to_device(latents(seeds, generator.config.z_dim), generator.device)
    with exact(generator.device):
        rows = [
            generator.map(z[i : i + 1], None if labels is None else labels[i : i + 1], truncation_psi=psi)
            for i in range(len(seeds))
        ]
    return torch.cat(rows) if rows else z.new_empty(0, generator.config.num_ws, generator.config.w_dim)


def _check_box(box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise BridgeError(
            f"box {box} must be left, top, right, bottom with 0 <= left < right <= 1 and 0 <= top < bottom <= 1"
        )


def face_crop(
    images: Tensor, size: int, channels: int, *, box: tuple[float, float, float, float] | None = FFHQ_FACE
) -> Tensor:
    """Cut `box` (fractions of the sides; None: all) out of (N, C, H, W) uint8, as (N, channels, size, size) uint8.

    Resampled with an antialiasing bicubic filter and rounded once, at the end; colours become luma by Rec. 601.

    Example: `face_crop(images, size=48, channels=1)`.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise BridgeError(f"images must be (N, 1 or 3, H, W) uint8, not {tuple(images.shape)} {images.dtype}")
    cropped = soft_crop(images.to(torch.float32), size, channels, box=box)
    return cropped.round().clamp_(0, 255).to(torch.uint8).contiguous()


def soft_crop(
    images: Tensor, size: int, channels: int, *, box: tuple[float, float, float, float] | None = FFHQ_FACE
) -> Tensor:
    """`face_crop` without rounding: float32 (N, 1 or 3, H, W) to (N, channels, size, size), differentiable."""
    if size < 1 or channels not in (1, 3):
        raise BridgeError(f"size {size} must be 1 or more and channels {channels} 1 or 3")
    x = images
    if box is not None:
        _check_box(box)
        height, width = x.shape[2:]
        left, top, right, bottom = (round(f * side) for f, side in zip(box, (width, height) * 2, strict=True))
        x = x[:, :, top : max(bottom, top + 1), left : max(right, left + 1)]
    if channels == 1 and x.shape[1] == 3:
        x = (x * to_device(torch.tensor(_LUMA), x.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    if x.shape[2:] != (size, size):
        x = F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return x.expand(-1, channels, -1, -1)


def save_pngs(
    batches: Stream,
    folder: Path,
    *,
    workers: int | None = None,
    compress_level: int = 1,
    text: Callable[[int], dict[str, str]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Path]:
    """Write seedNNNNNNNNNN.png for each image while the next batch is being drawn; returns the paths in order.

    `workers` threads write (None: one per core), at zlib's `compress_level` (0..9). `text` gives a seed's PNG text
    chunks. At most a few batches wait to be written, so memory stays constant.

    Example: `save_pngs(stream(generator, range(1000)), Path("faces"))`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(max_workers=workers or os.cpu_count()) as pool:
        for batch in batches:
            for seed, image in zip(batch.seeds, batch.images, strict=True):
                path = folder / f"seed{seed:010d}.png"
                waiting.append(pool.submit(_write_png, image, path, text(seed) if text else {}, compress_level))
                paths.append(path)
            while waiting and (len(waiting) > 2 * len(batch.seeds) or waiting[0].done()):
                waiting.popleft().result()
            if progress is not None:
                progress(len(paths))
        while waiting:
            waiting.popleft().result()
    return paths


def _write_png(image: Tensor, path: Path, text: dict[str, str], compress_level: int) -> None:
    """One (C, H, W) uint8 image as a PNG, under a temporary name first."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, value in text.items():
        chunks.add_itxt(key, value)
    array = image.permute(1, 2, 0).contiguous().numpy()
    temporary = path.with_name(path.name + ".tmp")
    try:
        picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
        picture.save(temporary, "PNG", pnginfo=chunks, compress_level=compress_level)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BridgeError(f"cannot write {path}: {error.strerror or error}") from error

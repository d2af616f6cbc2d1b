"""Images made elsewhere (a diffusion model, another GAN) as a batch of the workspace: they enter at `label`."""

from collections import Counter
from pathlib import Path

from ganfer.classifier import starter
from ganfer.config import Config
from ganfer.data.decode import Target
from ganfer.data.decode_many import decode_items
from ganfer.data.imageset import read_set
from ganfer.data.names import class_named
from ganfer.data.provenance import write_png
from ganfer.data.sources.items import Item
from ganfer.data.sources.loose import images_below
from ganfer.data.text import printable
from ganfer.errors import DataError
from ganfer.generate.cards import write_batch_cards
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import digest_json, digest_of, write_csv
from ganfer.workspace import Run, Workspace

COLUMNS = ("file_name", "asked", "seed", "origin")
_SHOWN = 5  # skipped files named on the terminal; all are in the record


def import_batch(workspace: Workspace, config: Config, folder: Path, data: Run | None) -> Run:
    """The images below a folder as a batch of the data's size and channels; found again when it was imported before.

    data: None for photographs that only the starter reads; such a batch belongs to no data set.

    A subfolder named like a class makes it the class asked for. Every image is marked synthetic, so that none can enter
    validation or test. DataError when the folder is missing or holds no readable image.
    """
    files, left_out = image_files(folder)
    images = read_set(data.path) if data else starter.no_images()
    listing = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = {
        "config": {"size": images.size, "channels": images.channels, "min_side": config.data.min_side},
        "inputs": {"data": data.digest if data else starter.NAME, "folder": digest_json(listing)},
    }
    run = workspace.run("synthetic", "folder", key)
    with run.work("import") as record:
        if record.get("status") == "complete":
            return run
        (run.path / "images").mkdir(exist_ok=True)
        items = (
            Item(printable(str(path.relative_to(folder))), _class_of(path, folder, images.class_names), path)
            for path in files
        )
        target = Target(images.size, images.channels, config.data.min_side)
        rows: list[dict[str, str]] = []
        skipped = list(left_out)
        with progress("import", len(files)) as advance:
            for chunk, decoded in decode_items(items, target, config.data.workers):
                pixels = iter(decoded.pixels)
                for item, reason in zip(chunk, decoded.reasons, strict=True):
                    if reason:
                        skipped.append((item.id, reason))
                        continue
                    name = f"images/{len(rows):07d}.png"
                    facts = {"generator": f"folder:{folder.name}", "origin": item.id, "class": item.label}
                    write_png(run.path / name, next(pixels), facts)
                    rows.append({"file_name": name, "asked": item.label, "seed": "", "origin": item.id})
                advance(len(chunk))
        for name, reason in skipped[:_SHOWN]:
            say(f"skipped {name}: {reason}")
        if len(skipped) > _SHOWN:
            say(f"... and {len(skipped) - _SHOWN} more, listed in {run.path / 'record.json'}")
        if not rows:
            raise DataError(f"None of the {len(files)} images in {folder} could be read.", "See the reasons above.")
        write_csv(run.path / "metadata.csv", COLUMNS, rows)
        told = {"generator": f"folder:{folder.name}", "origin": ""}
        shape = images.size, images.channels
        write_batch_cards(run, *shape, "png", told, data="", generator=f"images from the folder {folder.name}")
        asked = Counter(row["asked"] for row in rows if row["asked"])
        figures = {"images": len(rows), "asked": dict(asked), "skipped": skipped, "source": str(folder.resolve())}
        run.finish(digest=digest_of(run.path / "metadata.csv"), figures=figures)
    return run


def image_files(folder: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    """The image files below a folder, and (name, reason) of what is left out. DataError when it holds none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder.", "Give a folder of images, or none to label the newest batch.")
    files, left_out = images_below(folder)
    if not files:
        raise DataError(f"{folder} holds no images.", "Give a folder with PNG, JPEG or other image files.")
    return files, left_out


def _class_of(path: Path, folder: Path, class_names: tuple[str, ...]) -> str:
    """The class that the innermost subfolder with a class's name asks for, "" where there is none."""
    parts = [class_named(printable(part), class_names) for part in path.relative_to(folder).parts[:-1]]
    return next((part for part in reversed(parts) if part), "")

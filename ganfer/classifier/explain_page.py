"""The page of explanations, made from their `results.json` alone."""

from collections.abc import Mapping
from typing import Any

from ganfer.classifier.sections import command_blocks
from ganfer.page import svg
from ganfer.page.blocks import Block, Cell, Face, FaceClass, Faces, Items, Panel, Row, Section
from ganfer.page.numbers import points
from ganfer.page.sheet import Sheet, render_sheet


def explanation_page(results: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    images = results["images"]
    sections = [_image_section(i, each) for i, each in enumerate(images, 1)]
    if command := command_blocks(results["run"]):
        sections.append(Section("run", "How to repeat it", "", command))
    said = f"{len(images)} images" if len(images) > 1 else f"{images[0]['file']}: {images[0]['predicted']}"
    about = [results["classifier"]["name"], f"digest {results['classifier']['digest'][:16]}"]
    sentence = (
        f"{said}. Bright is where the evidence for the class lies; it says where the classifier looked, not whether "
        "it is right."
    )
    footer = "The same figures are in results.json, the pictures lie beside it as PNG."
    return render_sheet(Sheet(results["title"], sentence, about, sections=sections, footer=footer))


def _image_section(number: int, each: Mapping[str, Any]) -> Section:
    pngs = each["pngs"]
    groups = [
        ("Image", "image", [Face(pngs["image"], "")]),
        (f"{each['method']} for {each['target']}", "heat", [Face(pngs["heat"], "")]),
    ]
    if pngs["maps"]:
        groups.append(("First layer, the maps with most contrast", "maps", [Face(png, "") for png in pngs["maps"]]))
    ranked = sorted(each["probabilities"].items(), key=lambda item: -item[1])
    rows = [
        Row(
            name,
            [Cell(points(p))],
            svg.single_bar(p, 1.0, cls="bar real" if name == each["predicted"] else "bar before"),
        )
        for name, p in ranked
    ]
    panel = Panel("Scores", "Class", ("Probability, %",), rows, "Probability", caption_hidden=True)
    blocks: list[Block] = [Faces([FaceClass(each["predicted"], groups)]), panel]
    blocks += [Items(each["notes"])] if each["notes"] else []
    lead = f"Says {each['predicted']} with {points(each['probabilities'][each['predicted']])}%."
    return Section(f"image-{number}", each["file"], lead, blocks)

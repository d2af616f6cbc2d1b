"""The page: sections in order, put into the template. One file, nothing fetched, nothing run."""

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ganfer.page.blocks import ROOMS, Section
from ganfer.page.numbers import count
from ganfer.report import choices, material, outcome
from ganfer.report.model import Report
from ganfer.report.operating_point import operating_point_section
from ganfer.runtime.text import for_page
from ganfer.version import __version__

_SECTIONS = (
    outcome.arms_section,
    material.balance_section,
    outcome.recall_section,
    outcome.change_section,
    choices.evidence_section,
    operating_point_section,
    choices.groups_section,
    choices.tuning_section,
    outcome.confusion_section,
    material.faces_section,
    material.screen_section,
    material.labels_section,
    material.calibration_section,
    material.data_section,
    material.run_section,
)


def render(report: Report) -> str:
    """The whole page as HTML; everything that comes from the results is escaped."""
    sections: list[Section] = [section for make in _SECTIONS if (section := make(report))]
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            report=report,
            tone=outcome.TONES[report.word],
            tones=outcome.TONES,
            summary=_summary(report),
            tiles=outcome.tiles(report),
            sections=sections,
            rooms=ROOMS,
            version=__version__,
        )
    )


def _summary(report: Report) -> list[str]:
    """What the report is about, in a few words: data, sizes, seeds, when."""
    facts = [report.data.name] if report.data.name else []
    for split, words in (("train", "training"), ("test", "test")):
        if split in report.data.splits:
            facts.append(f"{count(sum(report.data.splits[split].values()))} real {words} images")
    facts.append(f"{len(report.classes)} classes")
    facts.append(f"{len(report.arms)} arm{'s' if len(report.arms) > 1 else ''}")
    seeds = len(report.settings.seeds)
    facts += [f"{seeds} seed{'s' if seeds > 1 else ''}"] if seeds else []
    facts += [report.origin.finished[:10]] if report.origin.finished else []
    return facts


@cache
def _environment() -> Environment:
    return Environment(
        loader=ChoiceLoader([PackageLoader("ganfer.report"), PackageLoader("ganfer.page")]),
        autoescape=True,
        finalize=for_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

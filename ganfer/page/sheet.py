"""A page around any figures: a heading, the headline figures, sections of blocks. One file, nothing fetched, nothing
run; the look is the report's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ganfer.page.blocks import ROOMS, TONES, Section
from ganfer.runtime.text import for_page
from ganfer.version import __version__


@dataclass(frozen=True)
class Headline:
    """A figure at the head of a page. note: its interval, or what else belongs to it."""

    name: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """What a page shows. about: facts in a line under the title. footer: where the same figures lie as files."""

    title: str
    sentence: str
    about: Sequence[str] = ()
    headlines: Sequence[Headline] = ()
    headline_note: str = ""
    sections: Sequence[Section] = field(default_factory=tuple)
    footer: str = ""


def render_sheet(sheet: Sheet) -> str:
    """The page as HTML; all text is escaped."""
    template = _environment().get_template("sheet.html.jinja")
    return template.render(sheet=sheet, tones=TONES, rooms=ROOMS, version=__version__)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("ganfer.page"),
        autoescape=True,
        finalize=for_page,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

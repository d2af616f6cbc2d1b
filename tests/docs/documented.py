"""The examples of the documents: fenced blocks, page by page, and what stands above them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A fenced block. mark: the comment on the line above, "" where there is none."""

    page: str
    language: str
    mark: str
    code: str

    @property
    def runs(self) -> bool:
        """Whether a reader is to believe that it works as it stands."""
        return self.language in ("sh", "python") and not self.mark.startswith("not run: ")

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block without their comments; a line that ends in a backslash goes on."""
        lines = self.code.replace("\\\n", " ").splitlines()
        return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
    return [Block(name, m["language"], m["mark"] or "", m["code"]) for m in _BLOCK.finditer(text)]

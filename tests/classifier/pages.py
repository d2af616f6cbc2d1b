"""What every page must be: well-formed, self-contained, named for screen readers."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.drawings: list[dict[str, str | None]] = []
        self.headings: list[int] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "svg" and "svg" not in self.open:
            self.drawings.append(dict(attrs))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> out of place")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)


def checked_text(html: str) -> str:
    """The page's visible text, after its form has been checked."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.faults == []
    assert reader.open == []
    assert "script" not in {tag for tag, _ in reader.tags}
    assert not re.search(r'(?:src|href)="(?!data:|#)', html), "the page fetches something"
    assert reader.headings[0] == 1
    assert reader.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(reader.headings, reader.headings[1:], strict=False))
    for tag, attributes in reader.tags:
        if tag == "img":
            assert attributes.get("alt")
    assert all(drawing.get("aria-hidden") == "true" or drawing.get("aria-label") for drawing in reader.drawings)
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    return re.sub(r"\s+", " ", " ".join(reader.text))

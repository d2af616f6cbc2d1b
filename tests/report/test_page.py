"""The page: well-formed, self-contained, escaped, readable without seeing it, and whole whatever is missing."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from examples import results

from ganfer.report import write_report

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = ['<script>alert("x")</script>', "a&b 'c' \"d\"", "غاضب", "とても長い" * 8, "x" * 90, "\x1b[31mred\udc80"]


class Checker(HTMLParser):
    """Collects what the tests ask about, and every tag that is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.headings: list[int] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        self.faults += [f"{tag} has {name} twice" for name in set(names) if names.count(name) > 1]
        self.tags.append((tag, dict(attrs), list(self.open)))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs), list(self.open)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-3:]}")
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs, _ in self.tags if name == tag]


def written(tmp_path: Path, value: dict[str, Any]) -> str:
    return write_report(tmp_path / "report", value).read_text(encoding="utf-8")


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    return checker


def hostile() -> dict[str, Any]:
    value = results(4, 6, HOSTILE)
    value["title"] = value["verdict"]["sentence"] = value["run"]["command"] = '"><script>alert(1)</script>'
    value["arms"][1]["title"] = value["arms"][1]["description"] = "<img src=http://example.org onerror=alert(2)>"
    value["data"]["notes"] = ["</style><b>"]
    value["screen"]["reasons"] = {"<i>why</i>": 3}
    value["faces"][HOSTILE[0]]["real"][0]["caption"] = "<u>"
    return value


CASES = {
    "two arms": lambda: results(2, 7),
    "three arms": lambda: results(3, 3),
    "ten arms": lambda: results(10, 8),
    "one arm": lambda: results(1, 2),
    "hostile": hostile,
}


@pytest.fixture(params=CASES, scope="module")
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("page"), CASES[request.param]())


def test_is_well_formed(page: str) -> None:
    checker = checked(page)
    assert checker.faults == []
    assert checker.open == []
    ids = [attrs["id"] for _, attrs, _ in checker.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs["href"] for attrs in checker.all("a")}
    assert targets <= {f"#{name}" for name in ids}


def test_needs_nothing_from_outside(page: str) -> None:
    checker = checked(page)
    names = {name for name, _, _ in checker.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for name, attrs, _ in checker.tags:
        for attribute in ("src", "href", "srcset", "data", "action", "xlink:href"):
            value = attrs.get(attribute) or "#"
            assert value.startswith(("#", "data:image/png;base64,")), (name, attribute, value)
        assert not any(attribute.startswith("on") for attribute in attrs)
    style = page.split("<style>")[1].split("</style>")[0]
    assert "@import" not in style
    assert set(re.findall(r"url\(([^)]*)\)", style)) == {"#hatch"}
    assert "default-src 'none'" in page


def test_headings_descend_one_by_one(page: str) -> None:
    headings = checked(page).headings
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))


def test_can_be_read_without_seeing_it(page: str) -> None:
    checker = checked(page)
    assert all(attrs.get("alt") for attrs in checker.all("img"))
    tables = [i for i, (name, _, _) in enumerate(checker.tags) if name == "table"]
    assert all(checker.tags[i + 1][0] == "caption" for i in tables)
    assert all(attrs.get("scope") for attrs in checker.all("th"))
    for name, attrs, parents in checker.tags:
        if name != "svg" or "svg" in parents:
            continue
        if attrs.get("role") == "img":
            assert attrs["aria-label"]
            assert "figure" in parents  # whose numbers stand in a table that opens
        else:
            assert attrs["aria-hidden"] == "true"
            is_plot = attrs.get("class") == "strip"
            assert not is_plot or ("table" in parents and "tr" in parents)


def test_every_strip_has_its_numbers_in_the_same_row(page: str) -> None:
    rows = re.findall(r"<tr role=\"row\"><th class=\"name\".*?</tr>", page, flags=re.DOTALL)
    plotted = [row for row in rows if 'class="strip"' in row]
    assert plotted
    for row in plotted:
        after_plot = row.split("</svg></td>")[-1]
        assert re.search(r"<bdi>[^<]*(\d|–)[^<]*</bdi>", after_plot), row


def test_every_diagram_has_a_table(page: str) -> None:
    figures = re.findall(r"<figure class=\"diagram\">.*?</figure>", page, flags=re.DOTALL)
    assert figures
    assert all("<table" in figure for figure in figures)


def test_escapes_everything(tmp_path: Path) -> None:
    html = written(tmp_path, hostile())
    checker = checked(html)
    assert not {name for name, _, _ in checker.tags} & {"script", "i", "u", "b"}
    assert all((attrs["src"] or "").startswith("data:") for attrs in checker.all("img"))
    text = "".join(checker.text)
    assert '<script>alert("x")</script>' in text
    assert "<img src=http://example.org onerror=alert(2)>" in text
    assert "\x1b" not in html
    assert "�[31mred�" in text


def test_verdict_comes_first_with_its_figures(tmp_path: Path) -> None:
    value = results(2, 7)
    change = value["comparisons"][0] | {"change": 0.012, "low": -0.003, "high": 0.027, "word": "cannot tell"}
    value["comparisons"][0] = change
    html = written(tmp_path, value)
    head = html.split("</header>")[0]
    assert value["verdict"]["sentence"] in head
    assert value["verdict"]["beside"] in head
    assert "+1.2 [−0.3, +2.7]" in head
    assert "58.0" in head
    assert head.count('<div class="tile') == 3
    assert '<div class="tile unknown">' in head


def test_verdict_may_name_its_pair(tmp_path: Path) -> None:
    value = results(10, 3)
    value["verdict"]["arm"] = "synthetic+best"
    assert "<bdi>Original</bdi> → <bdi>Synthetic and best</bdi>" in written(tmp_path, value)


def test_shows_every_arm_and_comparison(tmp_path: Path) -> None:
    value = results(10, 8)
    html = written(tmp_path, value)
    for arm in value["arms"]:
        # three metrics, eight classes twice (plot and table), its confusion, its description, ...
        assert html.count(f"<bdi>{arm['title']}</bdi>") > 20
    words = re.findall(r"<td role=\"cell\" class=\"said\">.*?</span> ([a-z ]+)</span></td>", html)
    assert len(words) == len(value["comparisons"])
    for word in ("helps", "no difference", "cannot tell"):
        assert words.count(word) == sum(c["word"] == word for c in value["comparisons"])


SECTIONS = {
    "faces": ("faces", None),
    "screen": ("screen", None),
    "labelling": ("labels", None),
    "run": ("run", "settings"),
    "comparisons": ("change", None),
    "tuning": ("tuning", None),
    "groups": ("groups", None),
}
WITH_IT = {"comparisons": {"evidence"}}


@pytest.mark.parametrize("part", SECTIONS)
def test_a_missing_part_leaves_only_its_section_out(tmp_path: Path, part: str) -> None:
    value = results(2, 4)
    before = set(re.findall(r'<section id="(\w+)"', written(tmp_path, value)))
    section, with_it = SECTIONS[part]
    del value[part]
    value.pop(with_it or "", None)
    html = written(tmp_path, value)
    assert set(re.findall(r'<section id="(\w+)"', html)) == before - {section} - WITH_IT.get(part, set())
    assert checked(html).faults == []


@pytest.mark.parametrize(
    ("key", "section"), [("confusion", "confusion"), ("calibration", "calibration"), ("per_class", "recall")]
)
def test_a_part_missing_in_every_arm(tmp_path: Path, key: str, section: str) -> None:
    value = results(2, 4)
    for arm in value["arms"]:
        del arm[key]
    html = written(tmp_path, value)
    assert f'<section id="{section}"' not in html
    assert checked(html).faults == []


def test_the_least_that_is_a_report(tmp_path: Path) -> None:
    value = {
        "format": 1,
        "title": "t",
        "verdict": {"word": "cannot tell", "sentence": "s"},
        "data": {"class_names": ["a", "b"]},
        "arms": [{"name": "original"}],
    }
    html = written(tmp_path, value)
    assert checked(html).faults == []
    assert re.findall(r'<section id="(\w+)"', html) == ["arms"]


def test_a_class_without_test_images(tmp_path: Path) -> None:
    value = results(2, 3)
    nothing = {"mean": None, "low": None, "high": None}
    for arm in value["arms"]:
        arm["per_class"]["fear"] = {"precision": nothing, "recall": nothing, "f1": None, "support": 0}
        arm["confusion"][2] = [0, 0, 0]
    for comparison in value["comparisons"]:
        if comparison["metric"].endswith(":fear"):
            comparison.update(change=None, low=None, high=None, word="cannot tell")
    html = written(tmp_path, value)
    recall = html.split('<section id="recall"')[1].split("<details")[0]
    row = next(row for row in recall.split("<tr") if "<bdi>fear</bdi>" in row)
    assert "no test images" in row
    assert row.count("<bdi>–</bdi>") == 2
    assert "whisker" not in row
    assert not re.search(r"\b(nan|none)\b", "".join(checked(html).text).lower())


def test_colours_keep_their_contrast() -> None:
    """WCAG AA in light and dark: 4.5:1 for text, also on the strongest shading; 3:1 for marks and bars."""
    css = (Path(__file__).parents[2] / "ganfer/page/templates/page.css").read_text()
    blocks = css.split("@media print")[0].split("prefers-color-scheme: dark")
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks)

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(*colours: str) -> float:
        darker, lighter = sorted(map(luminance, colours))
        return (lighter + 0.05) / (darker + 0.05)

    for colours in (light, dark):
        texts = ("ink", "soft", "second", "helps", "hurts", "same", "unknown")
        pairs = [(text, ground) for text in texts for ground in ("paper", "card")]
        for text, ground in [*pairs, ("ink", "heat"), ("ink", "better"), ("ink", "worse")]:
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for mark in ("first", "second", "third", "plain", "helps", "hurts", "before", "real", "made"):
            assert contrast(colours[mark], colours["paper"]) >= 3, mark

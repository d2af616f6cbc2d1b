"""Reads records as Croissant 1.0 describes them: file sets, archives, properties, columns, expressions, joins."""

import csv
import io
import json
import re
import tarfile
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

Row = dict[str, Any]
REQUIRED = {
    "cr:FileObject": {"@id", "name", "contentUrl", "encodingFormat", "sha256"},
    "cr:FileSet": {"@id", "name", "encodingFormat", "includes"},
    "cr:RecordSet": {"@id", "name", "field"},
    "cr:Field": {"@id", "name", "dataType", "source"},
}


def check(document: Row) -> None:
    """Every node has what it must have, names are unique, and what is referred to is there."""
    nodes: list[Row] = [*document["distribution"], *document["recordSet"]]
    nodes += [field for records in document["recordSet"] for field in records["field"]]
    for node in nodes:
        assert REQUIRED[node["@type"]] <= node.keys(), node
    names = [node["@id"] for node in nodes]
    assert len(names) == len(set(names))

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["@id"]] if value.keys() == {"@id"} else []
            return own + [name for inner in value.values() for name in references(inner)]
        return [name for inner in value for name in references(inner)] if isinstance(value, list) else []

    assert set(references([document["distribution"], document["recordSet"]])) <= set(names)


def records(folder: Path, name: str) -> list[Row]:
    """The records of a set by field name; images as bytes."""
    document = json.loads((folder / "croissant.json").read_text())
    check(document)
    files = {node["@id"]: node for node in document["distribution"]}
    sets = {node["@id"]: node for node in document["recordSet"]}
    return _read(folder, files, sets, sets[name])


def _read(folder: Path, files: dict[str, Row], sets: dict[str, Row], records: Row) -> list[Row]:
    own = [field for field in records["field"] if "fileSet" in field["source"]]
    (where,) = {field["source"]["fileSet"]["@id"] for field in own}
    rows = [{f["name"]: _value(f["source"], raw) for f in own} for raw in _rows(folder, files, files[where])]
    for field in records["field"]:
        if "references" not in field:
            continue
        other, key = field["references"]["field"]["@id"].split("/")
        there = {row[key]: row for row in _read(folder, files, sets, sets[other])}
        assert len(there) == len(rows)
        for row in rows:
            for taken in records["field"]:
                if "field" in taken["source"]:
                    row[taken["name"]] = there[row[field["name"]]][taken["source"]["field"]["@id"].split("/")[1]]
    return rows


def _rows(folder: Path, files: dict[str, Row], file_set: Row) -> list[Row]:
    found = []
    for each in file_set.get("containedIn", ()):
        archive = files[each["@id"]]
        path = folder / archive["contentUrl"]
        assert sha256(path.read_bytes()).hexdigest() == archive["sha256"]
        with tarfile.open(path) as tar:
            for member in tar:
                if PurePath(member.name).match(file_set["includes"]):
                    content = tar.extractfile(member).read()  # type: ignore[union-attr]
                    found.append({"filename": member.name, "fullpath": member.name, "content": content})
    for path in [] if "containedIn" in file_set else sorted(folder.glob(file_set["includes"])):
        if file_set["encodingFormat"] == "text/csv":
            found += list(csv.DictReader(io.StringIO(path.read_text())))
        else:
            full = str(path.relative_to(folder))
            found.append({"filename": path.name, "fullpath": full, "content": path.read_bytes()})
    return found


def _value(source: Row, raw: Row) -> Any:
    extract = source["extract"]
    value = raw[extract.get("column") or extract["fileProperty"]]
    if "transform" in source:
        match = re.match(source["transform"]["regex"], value)
        assert match, (source, value)
        value = match[1]
    return value

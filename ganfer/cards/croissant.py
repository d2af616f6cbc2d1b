"""Croissant 1.0 (MLCommons): a data set's files, fields and origin as JSON-LD, for machines and search engines."""

from collections.abc import Mapping, Sequence
from typing import Any

from ganfer.cards.facts import NOT_FOR, DatasetFacts, description
from ganfer.cards.markdown import public
from ganfer.version import __version__

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_WRITER = f"written by ganfer {__version__}"
_TYPES = {"png": "image/png", "webdataset": "application/x-tar", "parquet": "application/x-parquet"}
_FOLDER = r"(?:.*/)?([^/]+)/[^/]+\.png"  # of a path: the folder that an image lies in, named as its class
_FILE = r"(?:.*/)?([^/]+)"  # of a path: the file's name
_KEY = r"([^.]+)"  # of a file's name in a shard: what the files of one image have in common
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(facts: DatasetFacts, shards: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> dict[str, Any]:
    """The metadata of a set of images. Files are named relative to it.

    shards: of tar shards, split -> (file, SHA-256).
    """
    parts = [_DESCRIBED[facts.form](facts, split, (shards or {}).get(split, ())) for split in facts.files]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": public(facts.name),
        "description": public(description(facts)),
        "conformsTo": CONFORMS_TO,
        "license": facts.licence,
        "version": "1.0.0",
        "isLiveDataset": False,
        "keywords": ["facial expression recognition", *(["synthetic data"] if facts.synthetic else [])],
        "rai:dataCollection": "; ".join(
            [*(f"{what}: {public(value)}" for what, value in facts.made if value), _WRITER]
        ),
        "rai:dataUseCases": "training classifiers of facial expressions",
        "rai:dataLimitations": "Not for " + "; ".join(NOT_FOR),
        "distribution": [each for files, _ in parts for each in files],
        "recordSet": [each for _, records in parts for each in records],
    }


_Described = tuple[list[dict[str, Any]], list[dict[str, Any]]]  # distribution and record sets of a split


def _parquet(facts: DatasetFacts, split: str, shards: object) -> _Described:
    """A row per image, from the columns of the Parquet files."""
    del shards
    files = f"{split}-files"
    fields = [_image(split, _from(files, {"column": "image"}, transform={"jsonPath": "bytes"}))]
    if facts.class_names:
        names = ", ".join(f"{i} {name}" for i, name in enumerate(facts.class_names))
        source = _from(files, {"column": "label"})
        fields.append(_field(split, "label", source, "sc:Integer", public(f"The class: {names}.")))
    kinds = {"seed": "sc:Integer", "synthetic": "sc:Boolean"}
    fields += [
        _field(split, name, _from(files, {"column": name}), kinds.get(name, "sc:Text"), public(meaning))
        for name, meaning in facts.columns.items()
        if name not in ("image", "label")
    ]
    return [_files(split, facts.files[split], facts.form)], [_records(split, fields)]


def _png(facts: DatasetFacts, split: str, shards: object) -> _Described:
    """An image per file: its class is its folder's name or, of a batch, stands in metadata.csv."""
    del shards
    found, files = [_files(split, facts.files[split], facts.form)], f"{split}-files"
    image, label = _image(split, _from(files, {"fileProperty": "content"})), _classes(facts)
    if not facts.class_names:
        return found, [_records(split, [image])]
    if "file_name" not in facts.columns:
        source = _from(files, {"fileProperty": "fullpath"}, transform={"regex": _FOLDER})
        return found, [_records(split, [image, _field(split, "label", source, "sc:Text", label)])]
    table = f"{split}-table"
    found.append(_file_set(table, "metadata.csv", "text/csv", "The table of the images."))
    name = _from(table, {"column": "file_name"}, transform={"regex": _FILE})
    key = _from(files, {"fileProperty": "filename"})
    return found, _joined(split, key, name, image, _from(table, {"column": "asked"}), label)


def _webdataset(facts: DatasetFacts, split: str, shards: Sequence[tuple[str, str]]) -> _Described:
    """Tar shards with KEY.png and KEY.cls of every image."""
    found = [
        {
            "@type": "cr:FileObject",
            "@id": file,
            "name": file,
            "contentUrl": file,
            "encodingFormat": _TYPES[facts.form],
            "sha256": digest,
        }
        for file, digest in shards
    ]
    if not found:
        return [_files(split, facts.files[split], facts.form)], []
    within = {"containedIn": [{"@id": each["@id"]} for each in found]}
    images, classes = f"{split}-files", f"{split}-classes"
    found.append(_file_set(images, "*.png", _TYPES["png"], f"The {split} images.", **within))
    image = _image(split, _from(images, {"fileProperty": "content"}))
    if not facts.class_names:
        return found, [_records(split, [image])]
    found.append(_file_set(classes, "*.cls", "text/plain", f"The classes of the {split} images.", **within))
    key, name = (_from(where, {"fileProperty": "filename"}, transform={"regex": _KEY}) for where in (images, classes))
    return found, _joined(split, key, name, image, _from(classes, {"fileProperty": "content"}), _classes(facts))


_DESCRIBED = {"parquet": _parquet, "png": _png, "webdataset": _webdataset}


def _classes(facts: DatasetFacts) -> str:
    return public(f"The class: {', '.join(facts.class_names)}.")


def _joined(
    split: str, key: dict[str, Any], name: dict[str, Any], image: dict[str, Any], label: dict[str, Any], meaning: str
) -> list[dict[str, Any]]:
    """The records of the labels by name, and those of the images, whose key is such a name."""
    labels = f"{split}-labels"
    named = [
        _field(labels, "name", name, "sc:Text", "Which image."),
        _field(labels, "label", label, "sc:Text", meaning),
    ]
    fields = [
        _field(split, "name", key, "sc:Text", "Which image.", references={"field": {"@id": f"{labels}/name"}}),
        image,
        _field(split, "label", {"field": {"@id": f"{labels}/label"}}, "sc:Text", meaning),
    ]
    return [_records(labels, named, f"The classes of the {split} images."), _records(split, fields)]


def _files(split: str, pattern: str, form: str) -> dict[str, Any]:
    return _file_set(f"{split}-files", pattern, _TYPES[form], f"The {split} images.")


def _file_set(name: str, pattern: str, kind: str, meaning: str, **more: Any) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": meaning,
        "encodingFormat": kind,
        "includes": pattern,
        **more,
    }


def _from(files: str, extract: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"fileSet": {"@id": files}, "extract": extract, **more}


def _image(split: str, source: dict[str, Any]) -> dict[str, Any]:
    return _field(split, "image", source, "sc:ImageObject", "The image, encoded as PNG.")


def _field(records: str, name: str, source: dict[str, Any], kind: str, meaning: str, **more: Any) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{name}",
        "name": name,
        "description": meaning,
        "dataType": kind,
        "source": source,
        **more,
    }


def _records(name: str, fields: list[dict[str, Any]], meaning: str = "") -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": meaning or f"The {name} images.",
        "field": fields,
    }

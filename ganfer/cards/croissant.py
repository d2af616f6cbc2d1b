"""Croissant 1.0 (MLCommons): a data set's files, fields and origin as JSON-LD, for machines and search engines."""

from typing import Any

from ganfer.cards.facts import NOT_FOR, DatasetFacts, description
from ganfer.cards.markdown import public
from ganfer.version import __version__

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_WRITER = f"written by ganfer {__version__}"
_TYPES = {"png": "image/png", "webdataset": "application/x-tar", "parquet": "application/x-parquet"}
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


def croissant(facts: DatasetFacts) -> dict[str, Any]:
    """The metadata of a set of images. Files are named relative to it."""
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
        "distribution": [_file_set(split, pattern, facts.form) for split, pattern in facts.files.items()],
        "recordSet": [_records(split, facts) for split in facts.files] if facts.form == "parquet" else [],
    }


def _file_set(split: str, pattern: str, form: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{split}-files",
        "name": f"{split}-files",
        "description": f"The {split} images.",
        "encodingFormat": _TYPES[form],
        "includes": pattern,
    }


def _records(split: str, facts: DatasetFacts) -> dict[str, Any]:
    """A row per image, from the columns of the Parquet files."""

    def field(name: str, kind: str, meaning: str, **more: Any) -> dict[str, Any]:
        source = {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": name}, **more}
        return {
            "@type": "cr:Field",
            "@id": f"{split}/{name}",
            "name": name,
            "description": meaning,
            "dataType": kind,
            "source": source,
        }

    meanings = facts.columns
    fields = [field("image", "sc:ImageObject", "The image, encoded as PNG.", transform={"jsonPath": "bytes"})]
    if facts.class_names:
        names = ", ".join(f"{i} {name}" for i, name in enumerate(facts.class_names))
        fields.append(field("label", "sc:Integer", public(f"The class: {names}.")))
    kinds = {"seed": "sc:Integer", "synthetic": "sc:Boolean"}
    fields += [
        field(name, kinds.get(name, "sc:Text"), public(meaning))
        for name, meaning in meanings.items()
        if name not in ("image", "label")
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"The {split} images.",
        "field": fields,
    }

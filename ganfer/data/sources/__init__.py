"""Where images come from: folders, archives and the published layouts of face-expression data sets, as lazy streams."""

from ganfer.data.sources.registry import KINDS, DatasetSource, open_source, source_stem

__all__ = ["KINDS", "DatasetSource", "open_source", "source_stem"]

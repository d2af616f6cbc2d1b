"""Where images come from: folders, archives and published layouts of face-expression data sets, as lazy streams.

`registry` lists the layouts and tells which one a path holds: `trees` (and `tars`) name its files, `survey` counts
them, `reading` decides which folder is class, subject and split, in the words of `words`. `items` is what a layout
hands out, `tables` what those with label files share. `opening` turns a path or a pattern into a tree (`several` files
into one). Each other module is one layout.
"""

from ganfer.data.sources.registry import KINDS, DatasetSource, open_source, source_stem

__all__ = ["KINDS", "DatasetSource", "open_source", "source_stem"]

"""Where images come from: folders, archives and published layouts of face-expression data sets, as lazy streams.

`registry` lists the layouts and tells which one a path holds: `trees` (and `tars`) name its files, `survey` counts
them, `reading` decides which folder is class, subject and split, in the words of `words` and by `folder_paths`;
`remarks` are what is said besides. `items` is what a layout hands out, `tables` what those with label files share.
`opening` turns a path or a pattern into a tree (`several` files into one), `watched` remembers which of its files were
used, and `loose` takes images whose layout does not matter.

The layouts: `folders`; `fer2013`, `ferplus`, `ferplus_images`, `ckplus`, `expw`, `rafdb`, `affectnet`; `coded` file
names (by `codes`); `huggingface`, `stylegan`, `roboflow`; `webdataset`, and `parquet` with `parquet_files` and
`parquet_probe`.
"""

from ganfer.data.sources.registry import KINDS, DatasetSource, open_source, source_stem

__all__ = ["KINDS", "DatasetSource", "open_source", "source_stem"]

"""Images in: from a folder or archive to what every other part reads, an `ImageSet`.

Start with `imageset`. `ingest` is the command `data add`: `sources` reads a layout, `selection` chooses and names
classes (`names`, `text`), `decode` makes pixels and `decode_many` does so on all cores, `splits` makes splits,
`importer`, `checkpoint` and `writer` put the set on disk, `summary` says what was done. `unlabelled` is `data add
--pool`. The other commands are `stats` (with `sheets`), `check` (`examine`, `duplicates`, `hamming`, `damage`), `thin`
(`variants`) and `sets`. `parquet` writes Parquet, `provenance` and `credentials` mark synthetic images; `drawn` draws
faces.
"""

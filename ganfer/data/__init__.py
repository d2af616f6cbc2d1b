"""Images in: from a folder or archive to what every other part reads, an `ImageSet`.

Start with `imageset`. `ingest` is the command `data add`: `sources` reads a layout, `selection` chooses and names
classes (`names`), `decode` makes pixels on all cores (`pool`), `splits` makes splits, `importer` and
`writer` put the set on disk, `summary` says what was done. The other commands are `stats` (with `sheets`), `check`
(`examine`, `duplicates`, `hamming`, `damage`), `thin` (`variants`) and `sets`. `provenance` and `credentials` mark
synthetic images; `drawn` draws faces.
"""

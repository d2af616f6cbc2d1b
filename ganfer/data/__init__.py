"""Images in: importers, splits, checks, the drawn faces, and what every other part reads: `ImageSet`."""

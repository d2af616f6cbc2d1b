"""Cards that travel with what leaves the workspace, as the Hugging Face Hub reads them; nothing here asks a network.

`dataset` describes images (README.md with YAML in front), `croissant` the same for machines (JSON-LD), both from the
same `facts`; `model` describes a classifier or a generator. `markdown` writes text from elsewhere so that nothing in it
acts.
"""

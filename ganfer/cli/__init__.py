"""The command line: it parses, calls `ganfer.pipeline`, and prints. Importing it loads no torch.

`main` lists the commands and says how failures reach the user; `options` has what all commands share. Every other
module holds the commands of one stage: `data`, `train`, `generate`, `label`, `quality`, `review`, `retrain`, `classify`
(evaluate, crossval, explain, export), `tune`, `stylegan`, `live` (predict, timeline), `serve`, and `story` (demo,
status, report).
"""

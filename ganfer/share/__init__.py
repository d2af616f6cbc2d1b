"""`ganfer data export`: the active set, with the synthetic faces that were kept, as a folder that others can read.

`stage` decides what goes into which file, `rows` gives the images, `files` writes them.
"""

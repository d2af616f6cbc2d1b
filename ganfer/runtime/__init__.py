"""The machine: files written whole, lines on the terminal, processes of one job, seeds, devices.

Each module stands alone; read them when another one mentions them.
"""

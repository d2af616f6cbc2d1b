"""The machine: files written whole, lines on the terminal, processes of one job, seeds, devices.

Each module stands alone; read them when another one mentions them: `files`, `tables`, `text` and `room` for the disk,
`console` and `signals` for the user, `device`, `memory`, `ranks`, `gradients` and `parts` for the hardware, `seeding`
for random numbers, `extras` for optional packages.
"""

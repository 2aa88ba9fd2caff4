"""`xdancer demo`: from nothing to a dance video and a report in one command.

`budget` says how much of everything, `plan` turns it into phases (child processes), `scheduler` runs them on two cores and remembers in `state`
what is done, `steps` measures held-out clips, `story` writes the report. Only commands call this room.
"""

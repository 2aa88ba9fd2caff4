"""One thin file per sub-command of the console script."""

"""Music: beat tracking and per-frame features at 30 fps."""

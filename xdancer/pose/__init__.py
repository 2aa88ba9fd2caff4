"""Two-dimensional whole-body poses: detectors, coordinates, drawing."""

"""Lightning callbacks of the training application."""

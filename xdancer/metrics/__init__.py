"""Metrics of dance and video as pure functions and torchmetrics."""

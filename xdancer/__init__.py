"""Music-driven human dance video: one portrait and one song in, a dance video out."""

__version__ = "0.1.0"

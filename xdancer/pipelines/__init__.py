"""The three stages as one: portrait + song → dance video. Plain PyTorch, no Lightning."""

"""What a training step takes, found out before it is paid for."""

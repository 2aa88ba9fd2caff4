"""The command line of train.py: command_line (LightningCLI) · checkpoints · logs · interruption."""

from xdancer.cli.command_line import XDancerCLI, main

__all__ = ["XDancerCLI", "main"]

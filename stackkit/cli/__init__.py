"""The command `stackkit`: from tables to predictions, with honest scores on the way."""

from stackkit.cli.commands import main

__all__ = ["main"]

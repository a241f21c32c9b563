"""The command line `hive-state`. Command authors use the helpers of `frame`."""

from hive_state_core.cli.app import main

__all__ = ["main"]

"""hive-state: the state store that a hive of AI agents can start with and never has to leave.

from hive_state_core import open_store

async with open_store("sqlite:///hive.db") as hive:
    version = await hive.records.put("notes", "n1", {"text": "hello"})
"""

from hive_state_core._version import __version__
from hive_state_core.store import Store, open_store

__all__ = ["Store", "__version__", "open_store"]

"""A driver over any ordered key-value store that can compare and write several keys at once.

driver     the base class and its primitives; start here
trip       one attempt at a trip, and the control entry that guards it
deciding   commit: batches and checks
applying   the operations of a batch
streams    those on streams and groups
claiming   claim: leases that are over, due tasks, then what is handed out
delivering claim of events
deliveries what becomes of one delivery
keeping    sweep and stats
reading    images and scan
following  stream: events by number
capturing  what a trip leaves for the replication port
replicating the replication port
keys       where everything lies
entities   the layers of a trip
"""

from __future__ import annotations

from hive_state_core.kv.bell import Bell
from hive_state_core.kv.driver import FACILITIES, KVDriver
from hive_state_core.kv.entities import Row
from hive_state_core.kv.sortedmap import SortedMap

__all__ = ["FACILITIES", "Bell", "KVDriver", "Row", "SortedMap"]

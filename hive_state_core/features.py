"""What a driver declares that it can do. Known before any I/O, and tested both ways by the suite:
what is declared must pass, what is not declared must be refused with `Unsupported` before any I/O.
Only the durability may rise when the store is opened, where it is up to the server's settings.

The base (records with compare-and-set and strict TTL, atomic batches) carries no flag: a backend without
it is none. A flag exists only where physics or purpose differ between backends.
"""

from __future__ import annotations

from enum import Enum, IntEnum

import msgspec


class Durability(IntEnum):
    """What an acknowledged write survives."""

    VOLATILE = 0  #: nothing: it ends with the process that holds it
    PROCESS = 1  #: kill -9 of every client, and of the server where there is one
    FSYNC = 2  #: that, and a power cut
    REPLICATED = 3  #: that, and the loss of one machine


class Sharing(IntEnum):
    """Who can open the same store at once."""

    PROCESS = 0
    HOST = 1
    NETWORK = 2


class Consistency(IntEnum):
    """What a plain read may return; `fresh=True` is linearizable at every level."""

    SESSION = 0  #: read-your-writes and monotonic reads per Store
    BOUNDED = 1  #: that, and never older than a declared bound
    LINEARIZABLE = 2


class Wake(IntEnum):
    """How `wait` learns of news. It is a hint at every level."""

    NONE = 0
    POLL = 1
    PUSH = 2


class Clock(Enum):
    """Whose clock turns durations into instants."""

    HOST = "host"
    SERVER = "server"


class Facility(Enum):
    """A part of the SPI beyond records that a driver may leave out."""

    TASKS = "tasks"
    DEPENDENCIES = "dependencies"  #: Enqueue.depends_on
    REQUIREMENTS = "requirements"  #: Enqueue.requires
    STREAMS = "streams"
    IMPORT = "import"  #: `spi.Loading`: images of term 0 fill a store in use
    REPLICATION = "replication"  #: `spi.Replication`; IMPORT too, but for a source that is only read
    OUTCOMES = "outcomes"  #: trips are recorded, `outcome(trip_id)` answers


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """One driver's declaration. A batch over several kinds is atomic everywhere: that is no feature.

    `trips`: how many core may have under way at once where callers are many. More than one pays where a trip
    is mostly a server's work, and costs where it is mostly this process's. It goes by the store in which the
    hive lives at the moment.

    `ephemeral`: collections and streams that are kept apart from the rest, and may be lost at any time. No
    batch, trip or read names some of these and something else. What is declared besides does not hold for
    them, and they are not moved with the rest.
    """

    durability: Durability
    sharing: Sharing
    consistency: Consistency
    wake: Wake
    clock: Clock
    facilities: frozenset[Facility]
    trips: int = 1
    ephemeral: frozenset[str] = frozenset()

    def has(self, facility: Facility) -> bool:
        return facility in self.facilities

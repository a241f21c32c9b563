"""Every limit of hive-state, in one place. Core enforces them before a driver sees anything.

They are the largest sizes that all backends hold (PostgreSQL's B-tree entry of about 2,700 bytes sets
those of names and keys), so a hive that fits one store fits any other. Sizes are bytes of UTF-8.
"""

from __future__ import annotations

from typing import Final

NAME_BYTES: Final = 128
"""A namespace, collection, queue, stream, group, worker, index field or capability."""

KEY_BYTES: Final = 1024
"""A record's key, a task's id, a dedupe key or a commit id."""

VALUE_BYTES: Final = 16 * 1024 * 1024
"""A record's value, a task's payload or result, an event's body, once encoded."""

VALUE_DEPTH: Final = 200
"""How deep lists and objects may nest in a JSON value."""

INDEX_FIELDS: Final = 32
"""Index entries of one record (a field with three values counts three)."""

INDEX_VALUE_BYTES: Final = 256
"""A string among the index values."""

BATCH_OPS: Final = 1000
"""Operations in one batch."""

BATCH_BYTES: Final = 32 * 1024 * 1024
"""Values of one batch, summed."""

TRIP_BATCHES: Final = 256
TRIP_BYTES: Final = 1024 * 1024
"""A trip of several batches stays below both; one larger batch travels alone."""

SCAN_PAGE: Final = 1000
"""Rows in one page of a scan."""

CLAIM: Final = 1000
"""Tasks or events in one claim request."""

ERROR_BYTES: Final = 8 * 1024
"""The error text kept with a failed task; longer text is cut."""

PRIORITY_MIN: Final = -32768
PRIORITY_MAX: Final = 32767

ATTEMPTS: Final = 32767

DURATION_MS: Final = 200 * 366 * 24 * 3600 * 1000
"""About 200 years: the longest delay, TTL or lease."""

VERSION_MAX: Final = 2**53 - 1
"""Versions are exact in every language that has only doubles."""

REPLY_BYTES: Final = 8 * 1024 * 1024
"""A page, stream read or claim may end early, after at least one item, once its values pass this."""

DEPENDS: Final = 100
"""Parents of one task."""

REQUIRES: Final = 16
"""Capabilities that one task requires."""

"""The one tree of errors that a hive-state call may raise.

    HiveStateError
    +- InvalidArgument (ValueError)      a key, value, duration, limit or cursor that no store takes
    |  +- LimitExceeded                  the same, by size; says which limit, what came, what is allowed
    +- ConfigError (ValueError)          a URL, option, backend name or file that cannot be used
    +- Unsupported                       this store does not offer that; raised before any I/O
    +- NotFound (LookupError)            something named as a precondition is not there
    +- Conflict                          a check failed; nothing of the batch was applied
    |  +- AlreadyExists                  the failed check was "is absent"
    |  +- NotEmpty                       a store that has to be empty holds data
    |  +- LeaseLost                      the lease (of a task or a delivery) is not current any more
    +- Unavailable                       not applied, worth another try: busy, refused, shutting down
    |  +- Sealed                         the store takes no writes for a moment (a switch is under way)
    |  +- StoreFull                      no room left on the disk or in the memory the store may use
    +- Indeterminate                     may or may not have been applied; retry only with a commit_id
    +- AccessDenied                      wrong rights: read-only file, password, missing grant
    +- SchemaMismatch                    not a hive-state store, or one of another schema version
    +- StoreMoved                        the hive lives in another store now
    +- NotPrimary                        this store is a standby; it takes no writes of its own
    +- CorruptData                       stored bytes that cannot be decoded; the raw bytes are kept
    +- Closed                            the store object was closed
    +- Internal                          an error nobody foresaw; never retried

Every error has a stable `code`, says whether another try is worth it (`retryable`), and whether the
work was done (`applied`). The native error, where there is one, is `__cause__`. No message ever holds
a stored value or a password. `asyncio.CancelledError` is never converted.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

Applied = Literal["no", "yes", "unknown"]


def digits(number: int) -> str:
    """The number, or how long it is: Python writes no int of thousands of digits."""
    return str(number) if number.bit_length() <= 128 else f"an int of {number.bit_length()} bits"


class HiveStateError(Exception):
    """The root. `str(error)` is one sentence that says what is wrong, where, and how to mend it."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    applied: Applied = "no"

    def copy(self) -> Self:
        """The same error for another waiter: one instance raised in many tasks would mix their tracebacks."""
        twin = type(self).__new__(type(self))
        twin.args = self.args
        twin.__dict__.update(self.__dict__)
        twin.__cause__ = self.__cause__
        return twin


class InvalidArgument(HiveStateError, ValueError):
    code = "invalid_argument"


class LimitExceeded(InvalidArgument):
    """`limit` names the limit, `actual` is what came, `allowed` the most that is taken."""

    code = "limit_exceeded"

    def __init__(self, limit: str, actual: int, allowed: int) -> None:
        super().__init__(f"{limit} is {digits(actual)}; at most {allowed} is allowed")
        self.limit = limit
        self.actual = actual
        self.allowed = allowed


class ConfigError(HiveStateError, ValueError):
    code = "config"


class Unsupported(HiveStateError):
    """`feature` is the name of what is missing, as in `hive_state_core.features`."""

    code = "unsupported"

    def __init__(self, message: str, *, feature: str) -> None:
        super().__init__(message)
        self.feature = feature


class NotFound(HiveStateError, LookupError):
    code = "not_found"


class Conflict(HiveStateError):
    """A check of a batch failed, so nothing of it was applied.

    `key` names the entity in words, `expected` and `actual` are versions (0 = absent).
    `index` is the place of the failed check or operation within its batch.
    """

    code = "conflict"

    def __init__(
        self, message: str, *, key: str = "", expected: int = 0, actual: int = 0, index: int = 0
    ) -> None:
        super().__init__(message)
        self.key = key
        self.expected = expected
        self.actual = actual
        self.index = index


class AlreadyExists(Conflict):
    code = "already_exists"


class NotEmpty(Conflict):
    code = "not_empty"


class LeaseLost(Conflict):
    """`expected` is the token the caller holds, `actual` the current one (0 = none)."""

    code = "lease_lost"


class Unavailable(HiveStateError):
    code = "unavailable"
    retryable = True


class Sealed(Unavailable):
    code = "sealed"


class StoreFull(Unavailable):
    code = "store_full"


class Indeterminate(HiveStateError):
    code = "indeterminate"
    applied: Applied = "unknown"


class AccessDenied(HiveStateError):
    code = "access_denied"


class SchemaMismatch(HiveStateError):
    """`found` is the schema version in the store (None: it is not a hive-state store), `expected` ours."""

    code = "schema_mismatch"

    def __init__(self, message: str, *, found: int | None, expected: int) -> None:
        super().__init__(message)
        self.found = found
        self.expected = expected


class StoreMoved(HiveStateError):
    """`peer` is the configured name of the store the hive moved to, if it is known."""

    code = "store_moved"

    def __init__(self, message: str, *, peer: str | None) -> None:
        super().__init__(message)
        self.peer = peer


class NotPrimary(HiveStateError):
    code = "not_primary"


class CorruptData(HiveStateError):
    """`raw` holds the bytes that were found, for a repair by hand; they are not in the message."""

    code = "corrupt_data"

    def __init__(self, message: str, *, raw: bytes) -> None:
        super().__init__(message)
        self.raw = raw


class Closed(HiveStateError):
    code = "closed"


class Internal(HiveStateError):
    code = "internal"

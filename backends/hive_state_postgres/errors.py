"""What PostgreSQL's errors mean. None of the messages quotes a value, a statement or a password."""

from __future__ import annotations

import asyncio
import ssl

import asyncpg  # type: ignore[import-untyped]
from asyncpg import exceptions as pg

from hive_state_core.control import refusal
from hive_state_core.errors import (
    AccessDenied,
    ConfigError,
    HiveStateError,
    Indeterminate,
    Internal,
    NotPrimary,
    SchemaMismatch,
    StoreFull,
    Unavailable,
)
from hive_state_core.spi import ControlState

SCHEMA_VERSION = 2
"""Grows when a table changes, or what a function takes or means: each process calls those that are there."""

RIGHTS = (
    "USAGE on the schema; SELECT, INSERT, UPDATE, DELETE on its tables; USAGE, SELECT on its sequences;"
    " EXECUTE on its functions"
)
"""What the user of a store needs, beside CONNECT. Who makes the schema needs CREATE on the database."""

CHANGED = "HS001"
"""What the trip depends on changed while it was locked: try it again."""
ALONE = "HS002"
"""The trip depends on an absence, which no lock can hold: try it again, alone among the writers."""
CONTROL = "HS010"
"""The control row refuses the trip; its state is the message, the peer the detail."""

READ_ONLY = "25006"
"""The server takes no writes (any more)."""

AGAIN = frozenset({CHANGED, "40001", "40P01", "23505"})
"""After these all is rolled back, and another try may work: serialization, deadlock, a row made twice."""

LOST = (
    pg.ConnectionDoesNotExistError,
    pg.InterfaceError,
    pg.InternalClientError,
    OSError,
    asyncio.IncompleteReadError,
    TimeoutError,
)
"""The connection broke, or what it said was not understood: the end of a call is unknown."""

_SHUTDOWN = ("57P01", "57P02", "57P03")
_FULL = ("53100", "53200", "53400", "54000")


def connect_error(error: BaseException, place: str) -> HiveStateError:
    """Why there is no connection: nothing was sent."""
    where = f"cannot connect to PostgreSQL at {place}"
    state = getattr(error, "sqlstate", None) or ""
    if state == "28P01":
        return AccessDenied(f"{where}: user or password is wrong")
    if state == "28000" or isinstance(error, pg.InvalidAuthorizationSpecificationError):
        return AccessDenied(
            f"{where}: there is no such user, or pg_hba.conf does not let it in from here, or only with TLS"
            " (see sslmode)"
        )
    if state == "3D000":
        return ConfigError(f"{where}: there is no such database; create it first (createdb)")
    if state == "42501":
        return AccessDenied(f"{where}: the user may not connect to this database")
    if state == "53300":
        return Unavailable(f"{where}: the server has no connection left (max_connections)")
    if state in _SHUTDOWN:
        return Unavailable(f"{where}: the server is starting up or shutting down")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unavailable(
            f"{where}: its certificate is not trusted ({error.verify_message}); see sslrootcert"
        )
    if isinstance(error, ssl.SSLError):
        return Unavailable(f"{where}: TLS failed ({error.reason or 'unknown reason'}); see sslmode")
    if isinstance(error, ConnectionError) and "SSL" in str(error):
        return Unavailable(f"{where}: the server offers no TLS, which sslmode asks for, or is no PostgreSQL")
    if isinstance(error, pg.TargetServerAttributeNotMatched):
        return Unavailable(f"{where}: it is not of the kind that target_session_attrs asks for")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{where}: no answer in time")
    if isinstance(error, pg.ClientConfigurationError | ValueError | TypeError):
        return ConfigError(f"{where}: an option of the URL cannot be used ({type(error).__name__})")
    if isinstance(error, FileNotFoundError):
        return Unavailable(f"{where}: there is no such socket; is the server running?")
    if isinstance(error, PermissionError):
        return AccessDenied(f"{where}: {error.strerror}")
    if isinstance(error, ConnectionRefusedError):
        return Unavailable(f"{where}: nothing listens there; is the server running?")
    if isinstance(error, OSError):
        return Unavailable(f"{where}: {error.strerror or 'it cannot be reached'}; is the server running?")
    return Unavailable(f"{where}: {type(error).__name__}")


def sqlstate(error: HiveStateError) -> str:
    """Of the native error; empty if there is none."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def is_lost(error: BaseException) -> bool:
    """Whether the connection is of no use any more."""
    state = getattr(error, "sqlstate", None) or ""
    return state in _SHUTDOWN or state.startswith("08") or isinstance(error, LOST)


def call_error(error: BaseException, place: str, *, writes: bool) -> HiveStateError:
    """What became of a call that was sent. After an error that the server reports all is rolled back."""
    where = f"PostgreSQL at {place}"
    if isinstance(error, HiveStateError):
        return error
    if isinstance(error, asyncpg.PostgresError):
        return _server_error(error, where, writes)
    if is_lost(error):
        if writes:
            return Indeterminate(f"the connection to {where} broke before it said what became of the work")
        return Unavailable(f"the connection to {where} broke; try again")
    return Internal(f"unforeseen {type(error).__name__} from {where}")


def _server_error(error: asyncpg.PostgresError, where: str, writes: bool) -> HiveStateError:
    state = error.sqlstate or ""
    if state == CONTROL:
        return control_error(getattr(error, "message", "") or "", getattr(error, "detail", "") or "")
    if is_lost(error):
        if writes:  # the word may come after the commit was made, but before it was said
            return Indeterminate(f"{where} is shutting down, and did not say what became of the work")
        return Unavailable(f"{where} is shutting down; try again")
    if state in ("57014", "55P03", "25P03", "25P04"):
        return Unavailable(f"{where} could not finish in command_timeout; others hold what is needed")
    if state in AGAIN or state == ALONE:
        return Unavailable(f"{where} was too busy: others changed the same things in command_timeout")
    if state == READ_ONLY:
        return NotPrimary(f"{where} takes no writes: it is a standby, or read-only by configuration")
    if state in _FULL:
        return StoreFull(f"{where} has no room left ({state})")
    if state == "53300":
        return Unavailable(f"{where} has no connection left (max_connections)")
    if state == "42501":
        return AccessDenied(
            f"{where}: the user lacks a right on the schema, or the right to create it ({_denied(error)})."
            f" It needs {RIGHTS}; CREATE on the database for `hive-state init`"
        )
    if state in ("3F000", "42P01", "42883", "42703"):
        return missing_schema(where)
    return Internal(f"unforeseen {type(error).__name__} ({state}) from {where}")


def _denied(error: asyncpg.PostgresError) -> str:
    """In the server's words, which name a table or the like, and never a value."""
    return str(getattr(error, "message", "") or "permission denied")


def demotion(place: str) -> HiveStateError:
    """Instead of NotPrimary, if there may be another server that takes writes. Nothing was applied."""
    return Unavailable(
        f"PostgreSQL at {place} takes no writes any more; the next call looks for a server that does"
    )


def missing_schema(where: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"there is no hive-state schema in {where}; run `hive-state init` with this URL",
        found=None,
        expected=SCHEMA_VERSION,
    )


def control_error(state: str, peer: str) -> HiveStateError:
    """What the control row said."""
    if state == "dropped":
        return dropped()
    return refusal(ControlState(state), peer or None) or Internal("an open store refused a write")


def dropped() -> SchemaMismatch:
    return SchemaMismatch(
        "the namespace was dropped while this store was open", found=None, expected=SCHEMA_VERSION
    )

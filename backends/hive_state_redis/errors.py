"""What Redis's errors mean. None of the messages quotes a value, a command or a password."""

from __future__ import annotations

import ssl

import hiredis

from hive_state_core.errors import (
    AccessDenied,
    ConfigError,
    HiveStateError,
    Indeterminate,
    Internal,
    NotPrimary,
    StoreFull,
    Unavailable,
)

NOT_HERE = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING"})
"""After these another server may be the right one by now. Nothing was done."""

RIGHTS = "resetchannels &{hive:* ~{hive:* +@all -@dangerous -@admin +info +config|get"
"""What the user of a store is to have; its keys begin with `{hive:`, unless the URL has another `prefix`."""

_REFUSALS: dict[str, tuple[type[HiveStateError], str]] = {
    "LOADING": (Unavailable, "is loading its data; try again"),
    "MASTERDOWN": (Unavailable, "is a replica that has lost its primary"),
    "CLUSTERDOWN": (Unavailable, "is a node of a cluster that is down"),
    "TRYAGAIN": (Unavailable, "is handing these keys to another node of the cluster; try again"),
    "BUSY": (Unavailable, "is busy with a script of somebody else; see SCRIPT KILL"),
    "NOREPLICAS": (Unavailable, "has fewer replicas than min-replicas-to-write, and takes no writes"),
    "OOM": (StoreFull, "has no memory left (maxmemory)"),
    "MISCONF": (StoreFull, "cannot write to its disk, and takes no writes until it can; see its log"),
    "READONLY": (NotPrimary, "takes no writes: it is a replica"),
    "MOVED": (ConfigError, "is a node of a cluster; write redis+cluster://"),
    "ASK": (ConfigError, "is a node of a cluster; write redis+cluster://"),
    "NOAUTH": (AccessDenied, "asks for a password, and the URL has none"),
    "WRONGPASS": (AccessDenied, "says that user or password is wrong, or that the user is disabled"),
    "DENIED": (AccessDenied, "is in protected mode: it has no password, and lets only its own host in"),
    "NOPERM": (AccessDenied, f"says that the user lacks a right; as ACL SETUSER has it, it needs {RIGHTS}"),
}
_TEXTS: tuple[tuple[str, type[HiveStateError], str], ...] = (
    ("ACL failure in script", AccessDenied, _REFUSALS["NOPERM"][1]),
    ("The user executing the script", AccessDenied, _REFUSALS["NOPERM"][1]),
    ("without any password configured", AccessDenied, "asks for no password, and the URL has one"),
    ("max number of clients", Unavailable, "has no connection left (maxclients)"),
    ("DB index is out of range", ConfigError, "has no database of this number (databases)"),
    ("cluster support disabled", ConfigError, "is no node of a cluster; write redis://"),
    (
        "SELECT is not allowed in cluster mode",
        ConfigError,
        "is a node of a cluster, which has only database 0",
    ),
)


def code_of(reply: object) -> str:
    """The code of an error that the server sent, such as NOSCRIPT; empty for any other reply."""
    return str(reply).partition(" ")[0] if isinstance(reply, hiredis.ReplyError) else ""


def connect_error(error: BaseException, place: str) -> HiveStateError:
    """Why there is no connection: nothing was sent."""
    where = f"cannot connect to Redis at {place}"
    if isinstance(error, HiveStateError):
        return error
    if isinstance(error, hiredis.ReplyError):
        return _refusal(error, f"{where}: it")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unavailable(
            f"{where}: its certificate is not trusted ({error.verify_message}); see ssl_ca_certs"
        )
    if isinstance(error, ssl.SSLError):
        return Unavailable(f"{where}: TLS failed ({error.reason or 'unknown reason'}); does it speak TLS?")
    if isinstance(error, TimeoutError):
        return Unavailable(
            f"{where}: no answer in time; do both speak TLS (rediss://), or neither (redis://)?"
        )
    if isinstance(error, FileNotFoundError):
        return Unavailable(f"{where}: there is no such socket; is the server running?")
    if isinstance(error, PermissionError):
        return AccessDenied(f"{where}: {error.strerror}")
    if isinstance(error, ConnectionRefusedError):
        return Unavailable(f"{where}: nothing listens there; is the server running?")
    if isinstance(error, ConnectionError):
        return Unavailable(
            f"{where}: it broke the connection; does it want TLS, is it full (maxclients), or is it no Redis?"
        )
    if isinstance(error, OSError):
        return Unavailable(f"{where}: {error.strerror or 'it cannot be reached'}; is the server running?")
    return Internal(f"{where}: unforeseen {type(error).__name__}")


def call_error(error: BaseException, place: str, *, reads: bool = False) -> HiveStateError:
    """What became of a call that was sent. A server that refuses has done nothing of it."""
    where = f"Redis at {place}"
    if isinstance(error, HiveStateError):
        return error
    if isinstance(error, hiredis.ReplyError):
        return _refusal(error, where)
    if not isinstance(error, OSError):
        return Internal(f"unforeseen {type(error).__name__} from {where}")
    what = "did not answer in command_timeout" if isinstance(error, TimeoutError) else "broke the connection"
    if reads:
        return Unavailable(f"{where} {what}; try again")
    return Indeterminate(f"{where} {what}, and did not say what became of the work")


def _refusal(error: hiredis.ReplyError, who: str) -> HiveStateError:
    code = code_of(error)
    if code in _REFUSALS:
        kind, what = _REFUSALS[code]
        return kind(f"{who} {what}")
    for text, kind, what in _TEXTS:
        if text in str(error):
            return kind(f"{who} {what}")
    return Internal(f"{who} answers with an unforeseen error ({code})")

"""What a table of the configuration, or `hybrid:///?durable=NAME&fast=NAME`, may say."""

from __future__ import annotations

import msgspec

from hive_state_core import validate
from hive_state_core.errors import ConfigError, HiveStateError
from hive_state_core.features import Consistency
from hive_state_core.options import Option, Type, Value, values_of
from hive_state_core.record_ops import RESERVED
from hive_state_core.sessions import COLLECTION as SESSIONS
from hive_state_core.url import StoreURL

OPTIONS = (
    Option(name="durable", type=Type.STORE, doc="the store that is the truth"),
    Option(name="fast", type=Type.STORE, doc="the store that answers reads"),
    Option(
        name="consistency",
        choices=tuple(level.name.lower() for level in reversed(Consistency)),
        default="bounded",
        doc="what a read may return; any read may be `fresh`",
    ),
    Option(
        name="max_staleness",
        type=Type.SECONDS,
        default=1.0,
        doc="how old a read may be (bounded); how long a lost cache is waited for (linearizable)",
    ),
    Option(
        name="near_ttl",
        type=Type.SECONDS,
        default=0.5,
        doc="how long at least a process tells again what the cache told it, below linearizable",
    ),
    Option(
        name="near_size",
        type=Type.WHOLE,
        least=0,
        most=10_000_000,
        default=10_000,
        doc="how many records it keeps there",
    ),
    Option(
        name="cache_ttl",
        type=Type.SECONDS,
        default=3600.0,
        doc="how long the fast store keeps what nobody writes again; an hour at most",
    ),
    Option(
        name="cache_timeout",
        type=Type.SECONDS,
        default=0.25,
        doc="after which the fast store is not waited for",
    ),
    Option(
        name="cache_hit_ratio_target",
        type=Type.NUMBER,
        least=0,
        most=1,
        default=0.9,
        doc="share of the reads that are to be hits; less is worth a look",
    ),
    Option(
        name="ephemeral",
        type=Type.NAMES,
        default="",
        doc="collections and streams that live in the fast store alone, and may be lost at any time",
    ),
    Option(
        name="default_ttl",
        type=Type.SECONDS,
        doc="how long a record of those is kept that is given no ttl; by default until it is lost",
    ),
    Option(
        name="stream_maxlen",
        type=Type.WHOLE,
        least=1,
        doc="events that a stream of those keeps, finished or not; by default all",
    ),
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The values of `OPTIONS`, seconds as they are; `beat` is for how long a beat lets the cache answer."""

    durable: str
    fast: str
    consistency: Consistency
    max_staleness: float
    near_ttl: float
    near_size: int
    cache_ttl: float
    cache_timeout: float
    beat: float
    cache_hit_ratio_target: float = 0.9
    ephemeral: tuple[str, ...] = ()
    default_ttl: float | None = None
    stream_maxlen: int | None = None

    @property
    def near_span(self) -> float:
        """For how many seconds a process may tell what it knows to have been the latest."""
        return (
            self.max_staleness if self.near_ttl and self.consistency is Consistency.BOUNDED else self.near_ttl
        )


def parse_options(url: StoreURL) -> Options:
    """Raises ConfigError, naming what is wrong."""
    values = values_of(url, OPTIONS)
    for name in ("durable", "fast"):
        if values[name] is None:
            raise ConfigError(f'a hybrid store names two others; {name} = "NAME" is missing')
    level = Consistency[str(values["consistency"]).upper()]
    most, near = float(values["max_staleness"] or 0), float(values["near_ttl"] or 0)
    near = 0.0 if level is Consistency.LINEARIZABLE or not values["near_size"] else near
    beat = most if level is Consistency.SESSION else most - near
    if beat < 0.1:
        raise ConfigError(
            f"max_staleness ({most:g} s) is to be at least 0.1 s longer than near_ttl ({near:g} s)"
        )
    made = {"consistency": level, "near_ttl": near, "beat": beat, "ephemeral": _ephemeral(values)}
    return msgspec.convert({**values, **made}, Options)


def _ephemeral(values: dict[str, Value]) -> tuple[str, ...]:
    """Raises ConfigError for a name that no collection or stream can have, and for what bounds nothing."""
    names = tuple(name for name in str(values["ephemeral"]).split(",") if name)
    for name in names:
        if name.startswith(RESERVED) and name != SESSIONS:
            raise ConfigError(
                f"ephemeral: {name} belongs to hive-state; of those only {SESSIONS} can be ephemeral"
            )
        try:
            validate.name(name, "ephemeral")
        except HiveStateError as error:
            raise ConfigError(str(error)) from error
    for knob in ("default_ttl", "stream_maxlen"):
        if values[knob] is not None and not names:
            raise ConfigError(
                f"{knob} is for what is ephemeral, and nothing is: ephemeral = [...] is missing"
            )
    return names

"""What a table of the configuration, or `hybrid:///?durable=NAME&fast=NAME`, may say."""

from __future__ import annotations

import msgspec

from hive_state_core.errors import ConfigError
from hive_state_core.features import Consistency
from hive_state_core.options import Option, Type, values_of
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
        default=0.25,
        doc="how long a process answers from its own memory, below linearizable",
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
    made = {"consistency": level, "near_ttl": near, "beat": beat}
    return msgspec.convert({**values, **made}, Options)

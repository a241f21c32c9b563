"""A table `[stores.NAME]` of the configuration as a store's URL: two spellings of the same.

It has either `url` or `backend`; beside either, the options of the backend by their names. Any text may say
`env:NAME` or `file:PATH` instead of a value.
"""

from __future__ import annotations

from typing import NamedTuple

from hive_state_core.config import Config
from hive_state_core.errors import ConfigError
from hive_state_core.options import Option, given, rooted, settled, suggest, text_of, values_of
from hive_state_core.plugins import Backend, backend_for, backend_named
from hive_state_core.references import dereferenced, is_reference
from hive_state_core.url import StoreURL, parse_url


class Place(NamedTuple):
    backend: Backend
    url: StoreURL


def place_of(config: Config, name: str) -> Place:
    """Where the store of this name is. Raises ConfigError that says which key of which line is wrong."""
    table = config.table(name)
    backend, url = _start(config, name)
    options = {option.name: option for option in backend.options}
    found: dict[str, str] = {}
    for key, value in table.items():
        if key in ("url", "backend"):
            continue
        label = config.label("stores", name, key)
        if key not in options:
            known = suggest(key, options)
            raise ConfigError(f"{label}: the backend {backend.name} has no option {key!r}{known}")
        found[key] = _text(config, options[key], value, label)
    if twice := sorted(found.keys() & url.options.keys()):
        raise ConfigError(f"{config.label('stores', name, twice[0])}: the URL gives it too")
    try:
        url = settled(url.replaced(options={**url.options, **found}), backend.options)
        values_of(url, backend.options)
    except ConfigError as error:
        raise ConfigError(f"{config.label('stores', name)}: {error}") from error
    return Place(backend, rooted(url, backend.options, config.folder) if config.path else url)


def _start(config: Config, name: str) -> Place:
    """The backend, and the URL without the options that the table adds."""
    table = config.table(name)
    chosen = [key for key in ("url", "backend") if key in table]
    if len(chosen) != 1:
        wrong = "not both" if chosen else "and has neither"
        raise ConfigError(f"{config.label('stores', name)} needs either url or backend, {wrong}")
    (key,) = chosen
    label, value = config.label("stores", name, key), table[key]
    if not isinstance(value, str):
        raise ConfigError(f"{label} is a text")
    text = dereferenced(value, label, config.folder)
    try:
        if key == "backend":
            backend = backend_named(text)
            return Place(backend, StoreURL(backend.schemes[0]))
        url = parse_url(text)
        return Place(backend_for(url), url)
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from error


def _text(config: Config, option: Option, value: object, label: str) -> str:
    text = dereferenced(text_of(value, option, label), label, config.folder)
    option.parse(text, label)
    return text


def plain_secrets(config: Config, name: str) -> list[str]:
    """The keys of a table in which a secret stands, and not a reference to it."""
    table = config.table(name)
    try:
        backend, url = place_of(config, name)
    except ConfigError:
        return []
    secrets = [option for option in backend.options if option.secret]
    found = [each.name for each in secrets if each.name in table and not _refers(table[each.name])]
    in_url = any(given(url, each) for each in secrets if each.name not in table)
    return found + (["url"] if in_url and not _refers(table["url"]) else [])


def _refers(value: object) -> bool:
    return isinstance(value, str) and is_reference(value)

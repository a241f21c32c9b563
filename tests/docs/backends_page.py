"""Writes docs/reference/backends.md from what the backends declare: `python tests/docs/backends_page.py`."""

from __future__ import annotations

from pathlib import Path

from hive_state_core.cli.show import setting_text
from hive_state_core.options import Option
from hive_state_core.plugins import Backend, Registry

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "backends.md"

HEAD = """\
# Backends

Each option stands by its name in a table `[stores.NAME]` of the [configuration](configuration.md), or in a
URL, `scheme://username:password@host:port/path?name=value`: in the part that the tables below name, or
behind the `?`. This page is made from what the backends declare, as is `hive-state backends -v`.
"""


def page() -> str:
    """The whole page, of the backends that are installed with hive-state."""
    return "\n".join([HEAD, *map(_section, Registry().backends())])


def _section(backend: Backend) -> str:
    schemes = " or ".join(f"`{scheme}://`" for scheme in backend.schemes)
    install = f" Needs `{backend.install}`." if backend.install else ""
    rows = "\n".join(map(_row, backend.options))
    return f"""## {backend.name}

{schemes}. {backend.summary}{install}

| option | takes | default | in the URL | what it is |
| --- | --- | --- | --- | --- |
{rows}
"""


def _row(option: Option) -> str:
    default = "" if option.default is None else f"`{setting_text(option.default)}`"
    takes = option.wants + (", secret" if option.secret else "")
    place = option.part or f"`?{option.name}=`"
    return f"| `{option.name}` | {takes} | {default} | {place} | {option.doc} |"


if __name__ == "__main__":
    PAGE.write_text(page())

"""What a plugin may do. A plugin is a module (or object) in the entry-point group `hive_state`:

    [project.entry-points.hive_state]
    etcd = "hive_state_etcd"

    # hive_state_etcd/__init__.py
    from hive_state_core.hookspecs import hookimpl

    @hookimpl
    def hive_state_register_backends(register):
        register(Backend(name="etcd", schemes=("etcd",), summary="...", connect=connect, options=OPTIONS))

`OPTIONS` is a tuple of `Option`: all that a URL or a table of the configuration may say about such a store.
`examples/hive-state-journal` is a whole plugin.

Name the entry point like the main scheme: if the plugin cannot be loaded, that is how a user of the
scheme is told why. Keep the module light, and import the driver inside `connect`: every process that opens
any store imports every plugin. Hooks are synchronous and called once, at registration, never while a store
works. A hook that raises disables its plugin and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from hive_state_core.plugins import Backend

PROJECT = "hive_state"

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(PROJECT)
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)


@hookspec
def hive_state_register_backends(register: Callable[[Backend], None]) -> None:
    """Call `register` once for each backend. No I/O: `Backend.connect` is called when a store is opened.

    What a driver imports and may be missing is named in `Backend.requires`, and what to do about it in
    `Backend.install`: the user is told so.
    """


@hookspec
def hive_state_register_commands(cli: click.Group) -> None:
    """Add commands to the command line with `cli.add_command`; `hive_state_core.cli.frame` has helpers.

    Called only when the command line runs. A command that is there already may not be replaced.
    """


def manager_of(plugin: object) -> pluggy.PluginManager:
    """A manager of this plugin alone: calling its hooks, one plugin's errors do not stop another.

    Raises pluggy.PluginValidationError for a hook that does not exist (it would never be called) or
    takes other arguments.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(sys.modules[__name__])
    manager.register(plugin)
    manager.check_pending()
    return manager

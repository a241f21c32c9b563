"""The list of what a store must do, by number, against the checks that there are."""

from __future__ import annotations

from hive_state_conformance.checking import Check, all_checks

LISTED = range(1, 163)
"""The numbers of areas A to O. Areas R, S and T came later and count on their own."""

OWN_NUMBERS = "RST"

_FAULTS = "it is of the fault tier, which breaks processes and servers and is not in the suite yet"

WITHOUT: dict[int, tuple[str, str]] = {
    34: (
        "aware datetimes keep their instant",
        "values are JSON: `values.other_types_refused` has them refused",
    ),
    53: (
        "a refused batch wakes nobody",
        "hints may be wrong; nothing of it is seen, see `stream.append.refused_leaves_no_gap`",
    ),
    56: ("a large batch is whole or absent after a crash amid its commit", _FAULTS),
    67: ("the host's clock, an hour wrong, changes nothing where the server's counts", _FAULTS),
    68: (
        "a clock that steps back revives nothing",
        f"{_FAULTS}; `trip.instants_never_go_back` is",
    ),
    132: (
        "parts of checkpoints that did not change are stored once",
        "a checkpoint is stored as a whole; `prune` bounds it",
    ),
    137: ("a connection for notifications that was killed comes back", _FAULTS),
    150: ("every native failure has its place in the tree of errors", _FAULTS),
    152: ("a connection that was cut after sending is Indeterminate", _FAULTS),
    153: ("a server that was restarted is used again without reopening", _FAULTS),
    157: ("the declared durability holds after kill -9", _FAULTS),
    160: (
        "an older library with a newer schema, and the reverse, are refused",
        "it needs a schema of another version, which only a backend's own tests can make",
    ),
    161: ("going back to an older schema", "not offered"),
}
"""Numbers that have no check: what they ask for, and why there is none."""


def checks_by_number() -> dict[int, list[Check]]:
    """Those of the numbered areas."""
    found: dict[int, list[Check]] = {number: [] for number in LISTED}
    for check in all_checks():
        if check.area not in OWN_NUMBERS:
            found[check.number].append(check)
    return found

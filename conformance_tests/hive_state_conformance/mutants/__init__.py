"""Deliberately wrong drivers: the proof that the suite finds what it should.

Each mutant wraps a right driver and gets one thing wrong, and names a check that must find it out. What
finds out what, in full, and which checks find out nothing: `python -m hive_state_conformance.mutants URL`.
"""

from __future__ import annotations

from hive_state_conformance.mutants import (
    deliveries,
    facets,
    groups,
    living,
    reading,
    records,
    replication,
    scans,
    streams,
    tasks,
    trips,
)
from hive_state_conformance.mutants.base import MUTANTS, Mutant, MutantHarness, mutant

__all__ = [
    "MUTANTS",
    "Mutant",
    "MutantHarness",
    "deliveries",
    "facets",
    "groups",
    "living",
    "mutant",
    "reading",
    "records",
    "replication",
    "scans",
    "streams",
    "tasks",
    "trips",
]

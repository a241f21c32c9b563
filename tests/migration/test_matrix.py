"""The first forty rows of the fault matrix: where each is tested, and what of it is not."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]


class Row(NamedTuple):
    """tests  file and function, below `tests/`
    not_run  what of the row they leave out
    """

    fault: str
    tests: tuple[str, ...]
    not_run: str = ""


MIDDLE = "migration/test_interleavings.py"
KILLED = "migration/faults/test_killed.py"
AGENTS = "migration/faults/test_agents.py"
SERVER = "migration/faults/test_postgres.py"
NETWORK = "migration/faults/test_network.py"
FOREIGN = "legacy/test_foreign.py"

MATRIX: dict[int, Row] = {
    1: Row("killed after the commit, in dual", (f"{AGENTS}::test_killed_at_a_commit",)),
    2: Row("killed before the commit, in dual", (f"{AGENTS}::test_killed_at_a_commit",)),
    3: Row("killed after the load, before the mark is cleared", (f"{KILLED}::test_killed_at",)),
    4: Row("killed in the middle of a load", (f"{AGENTS}::test_killed_in_the_middle_of_a_load",)),
    5: Row("two writes of a key, the first is sent last", (f"{MIDDLE}::test_the_later_image_arrives_first",)),
    6: Row(
        "an update and a delete, sent the other way round", (f"{MIDDLE}::test_the_later_image_arrives_first",)
    ),
    7: Row(
        "rows change between the reading and the writing of the copy",
        (f"{MIDDLE}::test_a_page_that_was_read_before_it_changed",),
    ),
    8: Row("the copy killed twenty times", (f"{AGENTS}::test_the_copy_killed_again_and_again",)),
    9: Row("more is inserted than is copied", (f"{MIDDLE}::test_the_copy_ends_although_more_is_written",)),
    10: Row("broken JSON in a legacy file", ("legacy/test_poison.py::test_each_is_named_and_kept",)),
    11: Row(
        "values that one side has another form for",
        (
            "legacy/test_poison.py::test_each_is_named_and_kept",
            "migration/test_lines.py::test_every_value_comes_back",
        ),
    ),
    12: Row(
        "NULL keys, wrong types, local times in a legacy file",
        (
            "legacy/test_poison.py::test_several_null_keys_and_several_equal_ones",
            "legacy/test_times.py::test_in_a_zone",
        ),
    ),
    13: Row(
        "a very large row",
        # a value has 16 MiB at most, and moves; what is larger in a legacy file is poison, and kept
        (f"{MIDDLE}::test_the_largest_value", "legacy/test_poison.py::test_each_is_named_and_kept"),
    ),
    14: Row(
        "a program that knows nothing of us writes, in dual",
        (f"{FOREIGN}::test_what_succeeded_arrives_and_what_comes_later_fails",),
    ),
    15: Row(
        "the same, REPLACE over a second unique key",
        (f"{FOREIGN}::test_what_succeeded_arrives_and_what_comes_later_fails",),
    ),
    16: Row(
        "the same, a transaction open at the seal",
        (f"{MIDDLE}::test_a_transaction_that_is_open_at_the_seal",),
    ),
    17: Row(
        "the same, a write after the seal",
        (f"{FOREIGN}::test_what_succeeded_arrives_and_what_comes_later_fails",),
    ),
    18: Row(
        "a writer sleeps through the switch", (f"{KILLED}::test_a_writer_that_sleeps_through_the_switch",)
    ),
    19: Row("the coordinator killed after the seal", (f"{KILLED}::test_killed_at",)),
    20: Row("the coordinator killed after the drain, and after the note", (f"{KILLED}::test_killed_at",)),
    21: Row("the coordinator killed after the decision", (f"{KILLED}::test_killed_at",)),
    22: Row(
        "the coordinator sleeps until others gave it up",
        (f"{KILLED}::test_a_coordinator_stopped_between_drain_and_decision",),
    ),
    23: Row("the new store is gone after the seal", (f"{SERVER}::gone_after_the_seal",)),
    24: Row("the new store is gone after the decision", (f"{SERVER}::gone_after_the_decision",)),
    25: Row(
        "the switch cancelled at every step", (f"{MIDDLE}::test_a_switch_that_is_cancelled_at_every_step",)
    ),
    26: Row("two coordinators at once", ("migration/test_live.py::test_two_coordinators_at_once",)),
    27: Row(
        "old, dual and new configurations at once",
        (
            "migration/test_live.py::test_mixed_configurations",
            f"{AGENTS}::test_a_rolling_restart_and_a_zombie",
        ),
    ),
    28: Row(
        "another store of that name", ("migration/test_live.py::test_another_store_of_that_name_is_refused",)
    ),
    29: Row(
        "the old file put back from yesterday",
        ("migration/test_live.py::test_an_old_store_that_was_put_back_is_refused",),
        "by a process that opens the old store alone: it writes to it, for nothing in reach says that"
        " it is of yesterday; docs/operate/live-migration.md says so",
    ),
    30: Row(
        "the new store put back from a backup",
        ("migration/test_following.py::test_nothing_opens_that_does_not_have_everything",),
    ),
    31: Row(
        "PostgreSQL killed in the middle of transactions",
        ("postgres/test_processes.py::test_a_server_that_is_killed",),
    ),
    32: Row(
        "sessions ended by an administrator",
        ("postgres/test_adversity.py::test_sessions_that_an_administrator_ends",),
    ),
    33: Row(
        "the reply to a commit is lost",
        (
            "unit/test_trips.py::test_after_a_lost_reply_the_outcome_is_asked",
            f"{NETWORK}::test_the_answer_to_a_commit_is_lost",
            f"{NETWORK}::test_the_answer_to_a_load_is_lost",
        ),
    ),
    34: Row(
        "the new store hangs",
        (
            f"{MIDDLE}::test_a_slow_store_keeps_nobody_waiting",
            f"{NETWORK}::test_the_other_store_hangs",
            f"{SERVER}::hangs_for_a_minute",
        ),
    ),
    35: Row("the new store is slow", (f"{MIDDLE}::test_a_slow_store_keeps_nobody_waiting",)),
    36: Row(
        "the new store refuses one key for good",
        (f"{MIDDLE}::test_one_key_that_is_refused_keeps_back_itself_alone",),
    ),
    37: Row("one load of five fails", (f"{MIDDLE}::test_a_store_that_refuses_now_and_then",)),
    38: Row(
        "the new store's disk is full",
        (
            "postgres/test_adversity.py::test_a_full_disk",
            f"{NETWORK}::test_the_other_store_is_full",
            f"{NETWORK}::test_the_other_disk_is_full",
        ),
    ),
    39: Row(
        "the old store's disk is full",
        ("sqlite/test_opening.py::test_a_full_disk_is_told_and_the_store_goes_on_reading",),
    ),
    40: Row(
        "another program holds SQLite's lock",
        ("sqlite/test_opening.py::test_a_foreign_lock_ends_in_unavailable_after_the_timeout",),
    ),
}


def test_all_rows_are_here() -> None:
    assert list(MATRIX) == list(range(1, 41))
    assert all(row.tests for row in MATRIX.values())


@pytest.mark.parametrize("number", MATRIX)
def test_what_is_named_is_there(number: int) -> None:
    for name in MATRIX[number].tests:
        file, _, function = name.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        assert function in {node.name for node in tree.body if isinstance(node, kinds)}, name

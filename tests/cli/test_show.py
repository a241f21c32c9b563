"""Tables for people: aligned by what a terminal shows, drawn by rich only where that is wanted."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from hive_state_core.cli import show

HEADERS = ("name", "count", "state")
ROWS = [("日本語", 5, "ok"), ("e\u0301te\u0301", 1234, "fail"), ("[red]x[/red]\x1b[2J\n", None, "dead")]


def test_columns_are_aligned_by_what_a_terminal_shows(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(HEADERS, ROWS, empty="")
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "name" + 15 * " " + "  count  state",
        "日本語" + 13 * " " + "      5  ok",
        "e\u0301te\u0301" + 16 * " " + "  1,234  fail",
        "[red]x[/red]\\x1b[2J" + "      -  dead",
    ]


def test_an_empty_table_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(HEADERS, [], empty="There is nothing.")
    assert capsys.readouterr().out == "There is nothing.\n"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (0.5, "0.50"),
        (datetime(2026, 1, 2, 3, 4, 5, 678900, UTC), "2026-01-02 03:04:05Z"),
        ("a\tb\u202e", "a\\tb\\u202e"),
        ("", ""),
    ],
)
def test_cells(cell: show.Cell, text: str) -> None:
    assert show.text_of(cell) == text


def test_facts_show_whole_numbers_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show.facts([("id", "x"), ("version", 8796093022218), ("none", None), ("fine", True)])
    assert capsys.readouterr().out.splitlines() == [
        "id       x",
        "version  8796093022218",
        "none     -",
        "fine     yes",
    ]


def test_rich_draws_on_a_terminal_and_takes_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = StringIO()
    console = Console(file=drawn, force_terminal=True, width=80, color_system="standard")
    monkeypatch.setattr(show, "_rich", lambda: console)
    show.table(HEADERS, ROWS, empty="")
    out = drawn.getvalue()
    assert "\x1b[32mok" in out
    assert "[red]x[/red]\\x1b[2J" in out
    assert "\x1b[2J" not in out


def test_rich_folds_only_what_stands_last(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = StringIO()
    monkeypatch.setattr(show, "_rich", lambda: Console(file=drawn, width=40))
    show.table(("id", ""), [("an-id-of-20-letters-", "some words that are folded")], empty="")
    found = [line.rstrip() for line in drawn.getvalue().splitlines()][1:]
    assert found == ["an-id-of-20-letters-  some words that", "                      are folded"]


def test_rich_cuts_no_id_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = StringIO()
    monkeypatch.setattr(show, "_rich", lambda: Console(file=drawn, width=20))
    show.table(("id", "at"), [("an-id-of-20-letters-", "2026-01-02 03:04:05Z")], empty="")
    found = [line.rstrip() for line in drawn.getvalue().splitlines()][1:]
    assert found == ["an-id-of-20-letters-  2026-01-02", "                      03:04:05Z"]


@pytest.mark.parametrize(
    ("terminal", "term", "installed", "drawn"),
    [
        (True, "xterm", True, True),
        (False, "xterm", True, False),
        (True, "dumb", True, False),
        (True, "xterm", False, False),
    ],
)
def test_rich_is_used_where_there_is_a_terminal_and_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, term: str, installed: bool, drawn: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("TERM", term)
    if not installed:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    assert (show._rich() is not None) == drawn

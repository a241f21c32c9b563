"""The configuration file: where it is looked for, what it may say, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive_state_core.config import Config
from hive_state_core.config_file import read_config
from hive_state_core.errors import ConfigError
from hive_state_core.retention import Retention
from hive_state_core.store_tables import place_of
from hive_state_core.toml_lines import line_of

from .conftest import SECRET, Write

DAY = 24 * 3600 * 1000


def refusal(name: str = "prod") -> str:
    with pytest.raises(ConfigError) as caught:
        place_of(read_config(), name)
    assert SECRET not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"
    return str(caught.value)


# --- finding ---------------------------------------------------------------------------------------


def test_none_is_an_empty_one() -> None:
    config = read_config()
    assert (config.path, config.use, config.namespace, config.stores) == (None, None, None, {})
    assert config.retention == Retention()


def test_the_nearest_file_upward(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write('use = "far"')
    write('use = "near"', "a/hive-state.toml")
    (tmp_path / "a/b/c").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b/c")
    assert read_config().use == "near"
    assert read_config(tmp_path / "hive-state.toml").use == "far"


def test_pyproject_counts_if_it_has_our_table(write: Write) -> None:
    write('use = "far"')
    write('[project]\ndependencies = ["hive-state"]', "a/pyproject.toml")
    assert read_config(Path("hive-state.toml")).use == "far"
    path = write('[project]\nname = "x"\n[tool.hive-state]\nuse = "mine"\nuze = 1', "a/b/pyproject.toml")
    with pytest.raises(ConfigError, match=r"a/b/pyproject\.toml:5: uze is not known; did you mean use\?"):
        read_config(path)
    path.write_text("[tool.hive-state.stores.local]\nurl = 'memory://'")
    assert list(read_config(path).stores) == ["local"]


def test_a_pyproject_above(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write('[project]\ndependencies = ["hive-state"]', "a/pyproject.toml")
    write('[tool.hive-state]\nuse = "mine"', "pyproject.toml")
    monkeypatch.chdir(tmp_path / "a")
    assert read_config().use == "mine"
    write('use = "both"')
    assert read_config().use == "both", "in one folder hive-state.toml comes first"


def test_without_a_working_directory_there_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert read_config().path is None


def test_a_folder_that_may_not_be_entered_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: object, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("os.stat", closed)
        found = read_config()
    assert found.path is None


def test_the_environment_names_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('use = "found"')
    monkeypatch.setenv("HIVE_STATE_CONFIG", str(write('use = "named"', "other.toml")))
    assert read_config().use == "named"
    monkeypatch.setenv("HIVE_STATE_CONFIG", "")
    assert read_config().use == "found"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("no.toml", None, "HIVE_STATE_CONFIG: no.toml cannot be read: No such file"),
        ("dir.toml/x", "", "HIVE_STATE_CONFIG: dir.toml cannot be read: Is a directory"),
        ("a.toml", "use = ", "a.toml is no TOML: Invalid value (at "),
        ("a.toml", "use = 'x'\nuse = 'y'", "a.toml is no TOML: Cannot overwrite a value (at "),
        ("pyproject.toml", "[project]", "HIVE_STATE_CONFIG: pyproject.toml has no table [tool.hive-state]"),
        ("pyproject.toml", "[tool]\nhive-state = 1", "pyproject.toml: tool.hive-state is a table"),
    ],
)
def test_a_file_that_cannot_be_used(
    name: str, text: str | None, said: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        write(text, name)
    monkeypatch.setenv("HIVE_STATE_CONFIG", name.removesuffix("/x"))
    with pytest.raises(ConfigError) as caught:
        read_config()
    assert str(caught.value).startswith(said)


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "hive-state.toml").write_bytes("use = 'ü'".encode("latin-1"))
    with pytest.raises(ConfigError, match="not in UTF-8"):
        read_config()


# --- what it says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("namespaze = 'x'", "hive-state.toml:1: namespaze is not known; did you mean namespace?"),
        ("\nuse = 1", "hive-state.toml:2: use is the name of a store"),
        ("use = 'toy://h'", "hive-state.toml:1: use is the name of a store"),
        ("namespace = ''", "hive-state.toml:1: namespace cannot be used: it must not be empty"),
        ("stores = 1", "hive-state.toml:1: stores is a table of tables"),
        ("[stores]\nprod = 'toy://h'", "hive-state.toml:2: stores.prod is a table: [stores.prod]"),
        ("[stores.'a b']\n", "hive-state.toml:1: stores.a b: a store's name is of letters, digits, - and _"),
        ("retention = 1", "hive-state.toml:1: retention is a table"),
        (
            "[retention]\ncompletes = 1",
            "hive-state.toml:2: retention.completes is not known; did you",
        ),
        ("[retention]\ndead = 0", "hive-state.toml:2: retention.dead is a duration such as 3600,"),
        ("[retention]\ndead = true", "hive-state.toml:2: retention.dead is a duration"),
        ("[retention]\ncheckpoints = '7d'", "hive-state.toml:2: retention.checkpoints is a whole number"),
        ("[retention]\nevents_count = 0", "hive-state.toml:2: retention.events_count is a whole number"),
        ("[retention]\ndead = 'soon'", "hive-state.toml:2: retention.dead is a duration"),
    ],
)
def test_a_wrong_file(text: str, said: str, write: Write) -> None:
    write(text)
    with pytest.raises(ConfigError) as caught:
        read_config()
    assert str(caught.value).startswith(said)


def test_retention_of_streams(write: Write) -> None:
    write("[retention]\nevents = '30d'\nevents_count = 10000\ncheckpoints = 10\nsnapshots = 'forever'")
    assert read_config().retention == Retention(
        events=30 * 24 * 3600 * 1000, events_count=10_000, checkpoints=10, snapshots=None
    )


def test_retention(write: Write) -> None:
    write("[retention]\ncompleted = '7d'\ncancelled = 60\ndead = 0.5\ntombstones = 'forever'")
    assert read_config().retention == Retention(
        completed=7 * DAY, cancelled=60_000, dead=500, tombstones=None, commits=DAY
    )


def test_a_configuration_without_a_file() -> None:
    config = Config({"stores": {"prod": {"url": f"toy://u:{SECRET}@h", "size": 6}}})
    assert str(place_of(config, "prod").url) == "toy://u:***@h?size=6"
    assert SECRET not in repr(config)
    with pytest.raises(ConfigError, match=r"^the configuration: retention\.x is not known"):
        Config({"retention": {"x": 1}})


# --- stores ----------------------------------------------------------------------------------------


def test_a_table_and_a_url_are_two_spellings(write: Write) -> None:
    write(f"""
        [stores.table]
        backend = "toy"
        host = "h"
        port = 9
        username = "u"
        password = "{SECRET}"
        path = "/f"
        size = 6
        quick = true
        [stores.url]
        url = "toy://u:{SECRET}@h:9//f?size=6&quick=true"
        [stores.both]
        url = "toy://u@h:9//f?size=6"
        password = "{SECRET}"
        quick = true
    """)
    config = read_config()
    places = [place_of(config, name) for name in ("table", "url", "both")]
    assert [place.backend.name for place in places] == ["toy"] * 3
    assert {str(place.url) for place in places} == {"toy://u:***@h:9//f?size=6&quick=true"}
    assert {place.url.password for place in places} == {SECRET}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("sizes = 1", "hive-state.toml:2: stores.prod needs either url or backend, and has neither"),
        (
            "url = 'toy://h'\nbackend = 'toy'",
            "hive-state.toml:2: stores.prod needs either url or backend, n",
        ),
        ("url = 1", "hive-state.toml:3: stores.prod.url is a text"),
        ("url = 'hunter2'", "hive-state.toml:3: stores.prod.url: a store URL looks like"),
        (
            "url = 'toyy://hunter2'",
            "hive-state.toml:3: stores.prod.url: no backend has the scheme toyy://; did you",
        ),
        (
            "backend = 'toyy'",
            "hive-state.toml:3: stores.prod.backend: there is no backend 'toyy'; did you mean",
        ),
        (
            "backend = 'toy'\nsizes = 1",
            "hive-state.toml:4: stores.prod.sizes: the backend toy has no option 'sizes'; did you mean size?",
        ),
        (
            "backend = 'toy'\nsize = 'x'",
            "hive-state.toml:4: stores.prod.size is a whole number, 1 or more, no",
        ),
        ("backend = 'toy'\nhost = 5", "hive-state.toml:4: stores.prod.host is a text, not that"),
        ("backend = 'toy'\nhost = {a = 1}", "hive-state.toml:4: stores.prod.host is a text, not a table"),
        (
            "url = 'toy://h?sizes=1'",
            "hive-state.toml:2: stores.prod: toy:// has no option 'sizes'; did y",
        ),
        ("url = 'toy://h?size=x'", "hive-state.toml:2: stores.prod: option size of toy:// is a whole number"),
        ("url = 'toy://h?size=1'\nsize = 1", "hive-state.toml:4: stores.prod.size: the URL gives it too"),
        ("url = 'toy://h'\nhost = 'i'", "hive-state.toml:2: stores.prod: toy:// is given host twice"),
        (
            "url = 'toy://u:hunter2@h'\npassword = 'x'",
            "hive-state.toml:2: stores.prod: toy:// is given pass",
        ),
    ],
)
def test_a_wrong_table_is_told_by_key_and_line(table: str, said: str, write: Write) -> None:
    write(f"use = 'prod'\n[stores.prod]\n{table}\n[retention]\ndead = '1d'")
    assert refusal().startswith(said)


def test_the_line_of_an_inline_table_is_that_of_the_table(write: Write) -> None:
    write("[stores]\nprod = { backend = 'toy', sizes = 1 }")
    assert refusal().startswith("hive-state.toml:2: stores.prod.sizes: ")


def test_a_store_that_is_not_configured(write: Write) -> None:
    assert refusal() == "there is no store 'prod': no hive-state.toml was found here or in a folder above"
    write("[stores.prode]\nurl = 'toy://h'")
    assert refusal() == "there is no store 'prod' in hive-state.toml; did you mean prode?"


def test_the_tables_of_other_stores_are_not_looked_at(write: Write) -> None:
    write("[stores.prod]\nbackend = 'gone'\n[stores.ok]\nurl = 'toy://h'")
    assert place_of(read_config(), "ok").url.host == "h"


def test_paths_start_at_the_folder_of_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("""
        [stores.a]
        url = "toy:///x.db"
        [stores.b]
        backend = "toy"
        path = "y.db"
        key_file = "k"
        size = 1
    """)
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    config = read_config()
    assert place_of(config, "a").url.path == f"/{tmp_path}/x.db"
    there = place_of(config, "b").url
    assert (there.path, there.options) == (f"/{tmp_path}/y.db", {"key_file": f"{tmp_path}/k", "size": "1"})


# --- secrets ---------------------------------------------------------------------------------------


def test_secrets_from_elsewhere(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("""
        [stores.env]
        backend = "toy"
        password = "env:TOY_PASSWORD"
        size = "env:TOY_SIZE"
        [stores.file]
        url = "env:TOY_URL"
        password = "file:secrets/pg"
    """)
    write(f"{SECRET}\n", "secrets/pg")
    monkeypatch.setenv("TOY_PASSWORD", f"{SECRET}\n")
    monkeypatch.setenv("TOY_SIZE", "7")
    monkeypatch.setenv("TOY_URL", "toy://u@h")
    config = read_config()
    env, file = place_of(config, "env").url, place_of(config, "file").url
    assert (env.password, env.options) == (f"{SECRET}\n", {"size": "7"}), "what the environment has is exact"
    assert (file.username, file.password) == ("u", SECRET), "an editor ends a file with a line break"
    assert SECRET not in f"{env}{env!r}{file}{file!r}{config!r}"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:NO_SUCH", "the environment variable NO_SUCH is not set"),
        ("env:EMPTY", "the environment variable EMPTY is empty"),
        ("env:", "the environment variable  is not set"),
        ("file:none", "none cannot be read: No such file or directory"),
        ("file:folder", "folder cannot be read: Is a directory"),
        ("file:empty", "empty is empty"),
        ("file:binary", "binary is not in UTF-8"),
        ("file:long", "long is longer than 65536 bytes"),
        ("file:a\\u0000b", "cannot be read: it has no such name"),
    ],
)
def test_a_missing_secret_is_told(
    reference: str, said: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "folder").mkdir()
    write("\n", "empty")
    write(SECRET * 10_000, "long")
    (tmp_path / "binary").write_bytes(SECRET.encode() + b"\xff")
    write(f'[stores.prod]\nbackend = "toy"\npassword = "{reference}"')
    told = refusal()
    assert told.startswith("hive-state.toml:3: stores.prod.password: ")
    assert told.endswith(said)


def test_a_secret_that_does_not_fit_is_not_quoted(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_URL", f"toy://u:{SECRET}[@h")
    write("[stores.prod]\nurl = 'env:TOY_URL'")
    assert refusal().startswith("hive-state.toml:2: stores.prod.url: the toy:// URL cannot be parsed")


# --- lines -----------------------------------------------------------------------------------------


def test_lines() -> None:
    text = """
use = "a"          # = b
[ stores . "prod" ]
"url" = 1
stores.x = 2
[other]
url = 3
a.b.c = 4
"""
    assert [line_of(text, *keys.split()) for keys in ("use", "stores prod", "stores prod url")] == [2, 3, 4]
    assert line_of(text, "other", "a", "b", "c") == 8
    assert line_of(text, "stores", "prod", "deeper") == 3, "the nearest that there is"
    assert line_of(text, "nothing") is None

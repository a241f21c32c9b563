"""Every check of the project: `nox` runs all, `nox -l` lists them, `nox -s tests -- -k name` runs some."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.11.12"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "docs", "types", "tests", "package"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
SOURCES: list[str] = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
PACKAGES = [Path(source).name for source in SOURCES]
COVERAGE = PYPROJECT["tool"]["coverage-gate"]
TESTS = ("tests", "conformance_tests")
WORKERS = min(16, 2 * (os.cpu_count() or 1))
"""Two for each core: most tests wait, for disks, servers, other processes. Each has servers of its own."""
SIDE_BY_SIDE = ("-n", str(WORKERS), "--dist", "worksteal")


def install(session: nox.Session, *groups: str, project: bool = False) -> None:
    """Install dependency groups and, if asked, the project itself (editable, with the extra `all`)."""
    requirements = nox.project.dependency_groups(PYPROJECT, *groups) if groups else ()
    session.install(*requirements, *(["-e", ".[all]"] if project else []))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, layers, spelling."""
    install(session, "lint", project=True)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache")
    session.run("codespell")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict on every package; the core's public types are complete."""
    install(session, "types", project=True)
    session.run("mypy", "--strict", *SOURCES)
    session.run("pyright", "--verifytypes", "hive_state_core", "--ignoreexternal")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, the conformance suite among them, and what they cover; with arguments: some of the tests."""
    install(session, "test", project=True)
    if session.posargs:
        session.run("pytest", *TESTS, *session.posargs)
    else:
        session.run("pytest", *TESTS, *SIDE_BY_SIDE, "--cov", "--cov-report=")
        covered(session)


def covered(session: nox.Session) -> None:
    """Fail unless enough lines and branches were run: of some files all, of the others most."""
    whole = ",".join(COVERAGE["whole"])
    session.run("coverage", "report", f"--include={whole}", "--fail-under=100")
    session.run("coverage", "report", f"--omit={whole}", f"--fail-under={COVERAGE['others']}")


@nox.session
def conformance(session: nox.Session) -> None:
    """The conformance suite alone, on the built-in backends; `tests` runs it too."""
    install(session, "test", project=True)
    session.run("pytest", "conformance_tests", *SIDE_BY_SIDE, *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Live moves with every fault there is, the suite on all of hybrid, races of real processes over it, and
    longer searches of its model; CI takes a selection of them."""
    install(session, "test", project=True)
    tests = (
        "tests/migration",
        "tests/hybrid",
        "tests/models/test_cache.py",
        "tests/cli/test_demo_migrate.py",
        "tests/legacy/test_foreign.py",
        "tests/redis/test_killed.py",
    )
    session.run("pytest", *tests, *session.posargs, env={"HIVE_STATE_FAULTS": "all"})


@nox.session
def bench(session: nox.Session) -> None:
    """The workloads under pytest-benchmark, to compare with earlier runs; not part of CI."""
    install(session, "bench", project=True)
    session.run("pytest", "tests/benchmarks/bench_workloads.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken link fails."""
    install(session, "docs")
    session.run("zensical", "build", "--clean", "--strict")


IN_CLEAN_VENV = """
import importlib, sys
from importlib.metadata import distribution, entry_points
from importlib.resources import files

import hive_state_core

unwanted = {"asyncpg", "redis", "rich", "hypothesis", "pytest"} & set(sys.modules)
assert not unwanted, f"import hive_state_core imported {sorted(unwanted)}"
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    assert "site-packages" in module.__file__, module.__file__
    assert files(module).joinpath("py.typed").is_file(), f"{name} has no py.typed"
for entry_point in entry_points(group="hive_state"):
    entry_point.load()
tops = {path.parts[0] for path in distribution("hive-state").files}
strays = tops & {"backends", "conformance_tests", "tests", "docs", "examples", "noxfile.py"}
assert not strays, f"the wheel contains {sorted(strays)}"
print("wheel:", distribution("hive-state").version, "with", *sys.argv[1:])
"""


@nox.session
def package(session: nox.Session) -> None:
    """Build sdist and wheel; install the wheel, without extras, into a clean venv outside the repository."""
    install(session, "package")
    with tempfile.TemporaryDirectory() as tmp:
        dist, venv = Path(tmp, "dist"), Path(tmp, "venv")
        session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
        (wheel,) = dist.glob("*.whl")
        session.run("python", "-m", "venv", str(venv))
        session.chdir(tmp)  # the working directory would shadow the installed core
        python, hive_state = (str(venv / "bin" / name) for name in ("python", "hive-state"))
        session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
        session.run(python, "-I", "-c", IN_CLEAN_VENV, *PACKAGES, external=True, log=False)
        session.run(hive_state, "--help", external=True)

"""Kill a large move again and again: `python tests/scale/kills.py FILE [KILLS [SECONDS]]`.

FILE is what `fill.py` made; it is copied, not changed. The copy moves to a PostgreSQL from the wheel by
`hive-state migrate run --offline`, killed with -9 at KILLS (20) random instants, up to SECONDS (20) after it
began, and begun again each time by the same command. In the end the exports of both sides have to be
identical.
"""

from __future__ import annotations

import asyncio
import filecmp
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from hive_state_core.embedded import postgres_server

HIVE_STATE = (sys.executable, "-m", "hive_state_core.cli")


def drill(source: str, target: str, kills: int, longest: float) -> None:
    run = [*HIVE_STATE, "migrate", "run", "--offline", "--from", source, "--to", target, "--json"]
    for kill in range(kills):
        begun, patience = time.perf_counter(), random.uniform(longest / 20, longest)
        with subprocess.Popen(run, stdout=subprocess.DEVNULL) as process:
            try:
                code = process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
            else:
                sys.exit(f"it came to its end, with {code}, before kill {kill + 1}: give a larger FILE")
        print(f"kill {kill + 1:2} after {time.perf_counter() - begun:5.1f} s", flush=True)
    subprocess.run(run, check=True)


def export(url: str, file: Path) -> None:
    with file.open("wb") as out:
        subprocess.run([*HIVE_STATE, "export", url], stdout=out, check=True)


async def main(file: str, kills: int = 20, longest: float = 20) -> None:
    with TemporaryDirectory(prefix="hive-state-kills-") as folder:
        shutil.copy(file, f"{folder}/from.db")
        source, before, after = f"sqlite:///{folder}/from.db", Path(folder, "before"), Path(folder, "after")
        export(source, before)
        async with postgres_server() as server:
            await asyncio.to_thread(drill, source, server.url, kills, longest)
            export(server.url, after)
        same = filecmp.cmp(before, after, shallow=False)
        verdict = "are identical" if same else "DIFFER"
        print(f"{kills} kills; the exports ({after.stat().st_size:,} bytes) {verdict}")
        sys.exit(not same)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))

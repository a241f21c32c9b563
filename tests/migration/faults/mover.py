"""`hive-state ARGUMENTS...`, with a fate: see `fate`."""

from __future__ import annotations

import fate

from hive_state_core.cli import main

if __name__ == "__main__":
    fate.meet()
    main(prog_name="hive-state")

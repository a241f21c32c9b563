"""`python -m hive_state_core.cli` is `hive-state`."""

from hive_state_core.cli.app import main

if __name__ == "__main__":
    main()

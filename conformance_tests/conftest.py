"""The suite on the backends of this repository."""

pytest_plugins = ["hive_state_conformance.pytest_plugin"]

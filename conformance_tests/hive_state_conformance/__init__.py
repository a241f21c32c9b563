"""The conformance suite: what every backend must do, as checks that anyone can run."""

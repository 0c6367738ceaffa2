"""`make bench-purity ARGS="--pool DIR"`: the same as `lpse bench purity --pool DIR`."""

from __future__ import annotations

import sys

from app.cli import cli

if __name__ == "__main__":
    cli(["bench", "purity", *sys.argv[1:]])

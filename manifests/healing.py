"""Healing: files that a command makes again because they were damaged or lost, each reported in one line.

The lines are warnings of this module's logger, which the command line always shows.
"""

from __future__ import annotations

import logging
from pathlib import Path

_logger = logging.getLogger(__name__)


def report_healed(path: Path, problem: str, remedy: str) -> None:
    """Report that the file or folder at `path` had a `problem`, and the `remedy`."""
    _logger.warning("%s: %s: %s", path, problem, remedy)

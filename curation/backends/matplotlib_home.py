"""Keeps matplotlib, which some libraries import but do not use here, from writing its font list to the home folder."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def matplotlib_elsewhere() -> Iterator[None]:
    """Give matplotlib a temporary folder while it is imported, unless the user set MPLCONFIGDIR."""
    logger, setting = logging.getLogger("matplotlib.font_manager"), "MPLCONFIGDIR"
    if os.environ.get(setting):
        yield
        return
    level = logger.level
    with tempfile.TemporaryDirectory(prefix="lpse-") as folder:
        os.environ[setting] = folder
        logger.setLevel(logging.ERROR)  # it logs that it builds the font list
        try:
            yield
        finally:
            logger.setLevel(level)
            del os.environ[setting]

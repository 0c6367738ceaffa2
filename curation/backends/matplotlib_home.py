"""matplotlib, which libraries import that draw nothing here, without its list of fonts in the home folder."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def matplotlib_elsewhere() -> Iterator[None]:
    """While matplotlib is imported, its folder is a temporary one, unless the user named one in MPLCONFIGDIR."""
    logger, setting = logging.getLogger("matplotlib.font_manager"), "MPLCONFIGDIR"
    if os.environ.get(setting):
        yield
        return
    level = logger.level
    with tempfile.TemporaryDirectory(prefix="lpse-") as folder:
        os.environ[setting] = folder
        logger.setLevel(logging.ERROR)  # it tells that it lists them
        try:
            yield
        finally:
            logger.setLevel(level)
            del os.environ[setting]

"""Runners: carry out a stage on many items in worker processes that may crash, hang or be killed.

`run_local` is the one for a single machine.
"""

from .pool import run_local
from .stage import CannotStart, Item, ItemResult, Progress, Stage

__all__ = ["CannotStart", "Item", "ItemResult", "Progress", "Stage", "run_local"]

"""The nouns: time, records and their tables, the corpus that keeps them on disk, the ledger of finished work.

Nothing in here decodes media or decides; every other folder may import this one, and it imports none of them.
"""

from typing import TYPE_CHECKING

from .lazy import lazy

if TYPE_CHECKING:
    from .errors import LpseError, Problem
    from .recipe import Recipe, load_recipe
    from .records import Cut, Drop, Event, Recording, Source
    from .scores import FrameScores
    from .store import Corpus
    from .time import Segment, Timeline
    from .validation import validate

__all__ = [
    "Corpus",
    "Cut",
    "Drop",
    "Event",
    "FrameScores",
    "LpseError",
    "Problem",
    "Recipe",
    "Recording",
    "Segment",
    "Source",
    "Timeline",
    "load_recipe",
    "validate",
]

_MODULES = {
    ".errors": ("LpseError", "Problem"),
    ".recipe": ("Recipe", "load_recipe"),
    ".records": ("Cut", "Drop", "Event", "Recording", "Source"),
    ".scores": ("FrameScores",),
    ".store": ("Corpus",),
    ".time": ("Segment", "Timeline"),
    ".validation": ("validate",),
}
__getattr__, __dir__ = lazy(__name__, {name: module for module, names in _MODULES.items() for name in names})

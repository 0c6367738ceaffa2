"""The nouns: time, records and their tables, the corpus that keeps them on disk, the ledger of finished work.

Nothing in here decodes media or decides; every other folder may import this one, and it imports none of them.
"""

from .records import Cut, Drop, Event, Recording, Source
from .store import Corpus
from .time import Segment, Timeline

__all__ = ["Corpus", "Cut", "Drop", "Event", "Recording", "Segment", "Source", "Timeline"]

"""Near duplicates: finds the same audio or video in two recordings, after re-encoding, cutting or mixing.

`fingerprint.py` defines fingerprints, `audio.py` and `picture.py` compute them, `index.py` and `merge.py` store them
for search on disk, `search.py` and `align.py` turn new ones into matches, `groups.py` decides which recording is kept.
"""

from .align import BOUNDS, Bounds, Match
from .audio import RATE, AudioFingerprinter
from .fingerprint import Fingerprint, Kind, new_fingerprint, version
from .groups import Rule, copied_time, duplicates
from .index import Index, open_index, write_index
from .merge import merge_indexes, to_merge
from .picture import FPS, SIZE, VideoFingerprinter
from .search import find_matches

__all__ = [
    "BOUNDS",
    "FPS",
    "RATE",
    "SIZE",
    "AudioFingerprinter",
    "Bounds",
    "Fingerprint",
    "Index",
    "Kind",
    "Match",
    "Rule",
    "VideoFingerprinter",
    "copied_time",
    "duplicates",
    "find_matches",
    "merge_indexes",
    "new_fingerprint",
    "open_index",
    "to_merge",
    "version",
    "write_index",
]

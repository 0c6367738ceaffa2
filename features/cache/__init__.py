"""The feature cache: the features of each cut, in Parquet that training maps into memory.

```
set.json                    the streams: encoders, versions, shapes
clips/part-00000.parquet    one row per clip
cuts/part-00000.parquet     one row per cut: pooled arrays and whole sequences
texts/part-00000.parquet    one row per caption
index.parquet               the cuts that are shown, with captions and splits; replaced as a whole
staged/<cut_id>.parquet     finished cuts that no part contains yet
```

Parts are added, never rewritten. Write with `stage`, `commit`, `add_texts` and `write_index`, in this order; read with
`FeatureCache`, or with any Parquet reader.
"""

from .check import Problem, check
from .clips import CutBatches, CutClips
from .cut import CutFeatures
from .index import IndexRow, write_index
from .parts import PART_BYTES, Committed, add_texts, commit, stored, stored_texts
from .reader import FeatureCache
from .spec import CacheError, CacheSpec, StreamSpec, create, read_spec
from .staging import remove_leftovers, stage, staged

__all__ = [
    "PART_BYTES",
    "CacheError",
    "CacheSpec",
    "Committed",
    "CutBatches",
    "CutClips",
    "CutFeatures",
    "FeatureCache",
    "IndexRow",
    "Problem",
    "StreamSpec",
    "add_texts",
    "check",
    "commit",
    "create",
    "read_spec",
    "remove_leftovers",
    "stage",
    "staged",
    "stored",
    "stored_texts",
    "write_index",
]

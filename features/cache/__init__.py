"""The feature cache: what encoders made of each cut, in Parquet that training maps into memory.

```
set.json                    the streams: encoders, versions, shapes
clips/part-00000.parquet    one row a clip
cuts/part-00000.parquet     one row a cut: pooled arrays and whole sequences
texts/part-00000.parquet    one row a caption
index.parquet               which cuts are shown, with captions and splits; replaced whole
staged/<cut_id>.parquet     finished cuts that no part holds yet
```

Parts are added, never rewritten. Written with `stage`, `commit`, `add_texts` and `write_index`, in this order; read
with `FeatureCache`, or by whatever reads Parquet.
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

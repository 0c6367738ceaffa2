"""Features for training and generation: encoders of accepted cuts, and the Parquet cache of their vectors.

Nothing here trains.
"""

from typing import TYPE_CHECKING

from manifests.lazy import lazy

if TYPE_CHECKING:
    from .cache.clips import CutBatches, CutClips
    from .cache.mmaudio import read_memmap, write_memmap
    from .cache.reader import FeatureCache
    from .cache.spec import CacheError, CacheSpec
    from .encoders import EncoderSpec, open_audio_encoder, open_encoder, open_text_encoder, open_video_encoder
    from .extraction.codec_fit import refit
    from .extraction.extract import Extraction, extract

__all__ = [
    "CacheError",
    "CacheSpec",
    "CutBatches",
    "CutClips",
    "EncoderSpec",
    "Extraction",
    "FeatureCache",
    "extract",
    "open_audio_encoder",
    "open_encoder",
    "open_text_encoder",
    "open_video_encoder",
    "read_memmap",
    "refit",
    "write_memmap",
]

_MODULES = {
    ".cache.clips": ("CutBatches", "CutClips"),
    ".cache.mmaudio": ("read_memmap", "write_memmap"),
    ".cache.reader": ("FeatureCache",),
    ".cache.spec": ("CacheError", "CacheSpec"),
    ".encoders": ("EncoderSpec", "open_audio_encoder", "open_encoder", "open_text_encoder", "open_video_encoder"),
    ".extraction.codec_fit": ("refit",),
    ".extraction.extract": ("Extraction", "extract"),
}
__getattr__, __dir__ = lazy(__name__, {name: module for module, names in _MODULES.items() for name in names})

"""Adapters that condition every clip of a long video on the whole video."""

from .config import AdapterConfig
from .files import adapter_notes, load_adapters, save_adapters
from .network import Adapters, ConditionMask
from .pooling import AdapterInputs, adapter_inputs
from .video import CachedVideo, VideoFeatures, WholeVideo, video_features

__all__ = [
    "AdapterConfig",
    "AdapterInputs",
    "Adapters",
    "CachedVideo",
    "ConditionMask",
    "VideoFeatures",
    "WholeVideo",
    "adapter_inputs",
    "adapter_notes",
    "load_adapters",
    "save_adapters",
    "video_features",
]

"""Light adapters that tell every clip of a long video about the whole of it."""

from .config import AdapterConfig
from .files import adapter_notes, load_adapters, save_adapters
from .network import Adapters, ConditionMask
from .pooling import AdapterInputs, VideoFeatures, adapter_inputs

__all__ = [
    "AdapterConfig",
    "AdapterInputs",
    "Adapters",
    "ConditionMask",
    "VideoFeatures",
    "adapter_inputs",
    "adapter_notes",
    "load_adapters",
    "save_adapters",
]

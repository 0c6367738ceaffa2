"""Light adapters that tell every clip of a long video about the whole of it."""

from .config import AdapterConfig
from .files import adapter_notes, load_adapters, save_adapters
from .network import Adapters, Keep
from .pooling import Globals, Whole, globals_of

__all__ = [
    "AdapterConfig",
    "Adapters",
    "Globals",
    "Keep",
    "Whole",
    "adapter_notes",
    "globals_of",
    "load_adapters",
    "save_adapters",
]

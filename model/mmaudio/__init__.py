"""The base network, compatible with MMAudio's released weights, and smaller sizes for offline features."""

from .config import BASES, BaseConfig
from .files import base_config, base_hash, build_base, load_base, save_base
from .network import Conditions, MMAudio

__all__ = [
    "BASES",
    "BaseConfig",
    "Conditions",
    "MMAudio",
    "base_config",
    "base_hash",
    "build_base",
    "load_base",
    "save_base",
]

"""The labelling page and the annotators' guide, both generated from the vocabulary."""

from .config import CONTROLS, PRESENCE, Variant, labelling_page
from .guide import guide

__all__ = ["CONTROLS", "PRESENCE", "Variant", "guide", "labelling_page"]

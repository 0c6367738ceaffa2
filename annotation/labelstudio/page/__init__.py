"""What annotators see: the labelling page and the guide, both made from the one vocabulary."""

from .config import CONTROLS, PRESENCE, Variant, labelling_page
from .guide import guide

__all__ = ["CONTROLS", "PRESENCE", "Variant", "guide", "labelling_page"]

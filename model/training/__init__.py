"""Training of adapters and bases: `train` starts a run in a folder, or resumes the one there.

Every step is a function of the settings, the features and its number, so a run that was killed reaches the same weights
after it is resumed, and several processes reach those of one.
"""

from .initial import InitialBase, fresh, from_file
from .loop import TrainingResult, train
from .settings import TrainingSettings, load_settings, parse_settings
from .validate import SeamValidator

__all__ = [
    "InitialBase",
    "SeamValidator",
    "TrainingResult",
    "TrainingSettings",
    "fresh",
    "from_file",
    "load_settings",
    "parse_settings",
    "train",
]

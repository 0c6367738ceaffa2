"""Training of adapters and of bases: `train` in a folder, from where it stands there, as often as it is called.

Every step is a function of the settings, the features and its number, so a training that was killed goes on to the
same weights, and several processes come to what one would.
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

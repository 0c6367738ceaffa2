"""AudioSet's 527 classes in the order of its `class_labels_indices.csv`, with which PANNs were trained.

YAMNet omits six of them and keeps the order of the others, so one list of names serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from manifests.scores import Tags

from . import yamnet

CLASSES = 527
TOP = 5

# the classes that YAMNet was not trained on, by index in this list
NOT_IN_YAMNET: Mapping[int, str] = {
    1: "Male speech, man speaking",
    2: "Female speech, woman speaking",
    12: "Battle cry",
    32: "Male singing",
    33: "Female singing",
    277: "Funny music",
}

# ranges of class indices (inclusive) whose maximum is one label: YAMNet's labels, with the same meaning
GROUPS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "speech": ((0, 7), (15, 15)),
    "voice": ((8, 14), (16, 26), (38, 39)),
    "singing": ((27, 37), (254, 255)),
    "music": ((137, 199), (207, 282)),
    "bells": ((200, 206),),
    "crowd": ((66, 71),),
    "animal": ((72, 136),),
    "nature": ((283, 299),),
    "vehicle": ((300, 353),),
    "machine": ((354, 434),),
    "silence": ((500, 500),),
}


@cache
def class_names() -> tuple[str, ...]:
    """The 527 class names, by index."""
    names = list(yamnet.class_names())
    for index, name in NOT_IN_YAMNET.items():  # in ascending order: each gets its final index
        names.insert(index, name)
    return tuple(names)


def group_maxima(probabilities: NDArray[np.float32]) -> NDArray[np.float16]:
    """The maximum in each group, (n, groups), of class probabilities (n, 527)."""
    maxima = [
        np.max([probabilities[:, first : last + 1].max(axis=1) for first, last in ranges], axis=0)
        for ranges in GROUPS.values()
    ]
    return np.stack(maxima, axis=1).astype(np.float16)


def top_tags(probabilities: NDArray[np.float32], hop: float) -> Tags:
    """The TOP most probable classes, best first, of class probabilities (n, 527) that are `hop` seconds apart."""
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    return Tags(top.astype(np.int16), np.take_along_axis(probabilities, top, axis=1).astype(np.float16), hop)

"""Motion told from what a codec does to a picture that stands still."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHANGED = 0.75  # of 255, in some block: below it codecs leave a still picture alone, but for their key pictures
TOGETHER_SECONDS = 0.75  # changes further apart than this are key pictures or cuts, each by itself
LEAST = 4  # changes that make a motion
FADE_SECONDS = 2.5  # a change between still pictures that lasts no longer is a fade
FADE = 8.0  # of 255, mean over the picture: what it changes at least
STILL_SECONDS = 1.0  # beside a fade


def motion(
    steps: NDArray[np.floating], small: NDArray[np.floating], fps: int
) -> tuple[NDArray[np.bool_], list[tuple[int, int]]]:
    """(moving (n,), fades as (first picture, picture after)) of n pictures, `fps` a second.

    `steps` (n,): how much the most changed part of a picture differs from the picture before, 0 to 255. `small`
    (n, rows, columns): the pictures themselves, small.
    """
    count = len(steps)
    changed = np.flatnonzero(steps > CHANGED)
    moving, fades = np.zeros(count, bool), []
    gap = round(TOGETHER_SECONDS * fps)
    runs = np.split(changed, np.flatnonzero(np.diff(changed) > gap) + 1) if len(changed) else []
    # what is shorter is a key picture or a cut
    ends = [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run) >= LEAST]
    rest = round(STILL_SECONDS * fps)
    for at, (first, end) in enumerate(ends):
        alone = (at == 0 or first - ends[at - 1][1] >= rest) and (at + 1 == len(ends) or ends[at + 1][0] - end >= rest)
        if alone and first >= rest and count - end >= rest and end - first <= FADE_SECONDS * fps:
            difference = float(np.abs(small[end - 1] - small[first - 1]).mean())
            if difference >= FADE:
                fades.append((first, end))
                continue
        moving[first:end] = True
    return moving, fades

"""Separates motion from codec noise in still video."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHANGED = 0.75  # of 255, in some block: codecs change still video by less, except at keyframes
TOGETHER_SECONDS = 0.75  # changes further apart than this are single keyframes or cuts
LEAST = 4  # changes that make a motion
FADE_SECONDS = 2.5  # a change between still frames is a fade if it lasts no longer
FADE = 8.0  # of 255, mean over the frame: its least change
STILL_SECONDS = 1.0  # of still video beside a fade


def motion(
    steps: NDArray[np.floating], small: NDArray[np.floating], fps: int
) -> tuple[NDArray[np.bool_], list[tuple[int, int]]]:
    """(moving (n,), fades as (first frame, frame after)) of n frames, `fps` per second.

    `steps` (n,): difference of the most changed block of a frame from the previous frame, 0 to 255. `small` (n, rows,
    columns): the frames themselves, scaled down.
    """
    count = len(steps)
    changed = np.flatnonzero(steps > CHANGED)
    moving, fades = np.zeros(count, bool), []
    gap = round(TOGETHER_SECONDS * fps)
    runs = np.split(changed, np.flatnonzero(np.diff(changed) > gap) + 1) if len(changed) else []
    # shorter runs are keyframes or cuts
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

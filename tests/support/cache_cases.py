"""Features as encoders would give them, small: what the tests of the feature cache put in and compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.cache import (
    CacheSpec,
    CutFeatures,
    IndexRow,
    StreamSpec,
    add_texts,
    commit,
    create,
    stage,
    write_index,
)

SPEC = CacheSpec(
    audio=StreamSpec("vae", "1-abc", 1.5, 8, 12),
    visual=StreamSpec("clip", "1-abc", 8.0, 16, 64),
    sync=StreamSpec("synchformer", "1-abc", 24.0, 10, 192),
    text=StreamSpec("clip_text", "1-abc", None, 4, 7),
)


def features(number: int, clips: int = 2, has_video: bool = True, spec: CacheSpec = SPEC) -> CutFeatures:
    """The cut `c<number>`: random values that hang on the number alone."""
    draw = np.random.default_rng(number)

    def random(*shape: int) -> NDArray[np.float32]:
        return draw.standard_normal(shape, np.float32)

    audible = {name: random(clips, *spec.clip_shapes()[name]) for name in ("mean", "std")}
    seen: dict[str, NDArray[Any]] = {}
    whole: dict[str, NDArray[Any]] = {}
    if has_video:
        seen = {n: random(clips, *shape) for n, shape in spec.clip_shapes().items() if n in ("visual", "sync")}
        lengths = {"visual_all": 64 * clips + 3, "sync_all": 200 * clips - 8}
        whole = {n: random(lengths[n], shape[1]) for n, shape in spec.whole_shapes().items()}
    start = 1.5 * number
    return CutFeatures(
        cut_id=f"c{number}",
        recording_id=f"r{number % 3}",
        start=start,
        end=start + 8 * clips,
        has_video=has_video,
        clip_starts=start + 8.0 * np.arange(clips, dtype=np.float64),
        clips={**audible, **seen},
        whole=whole,
    )


def some(count: int, spec: CacheSpec = SPEC) -> list[CutFeatures]:
    """Cuts of one to four clips, every fourth without video."""
    return [features(number, 1 + number % 4, number % 4 != 2, spec) for number in range(count)]


def shown(
    cut: CutFeatures, text_id: str = "t0", split: str = "train", state: Literal["present", "withdrawn"] = "present"
) -> IndexRow:
    """The cut's row of the index."""
    return IndexRow(
        cut.cut_id,
        cut.recording_id,
        cut.start,
        cut.end,
        len(cut.clip_starts),
        cut.has_video,
        caption=f"the sound of {cut.cut_id}",
        caption_source="human",
        text_id=text_id,
        split=split,
        state=state,
    )


def texts(count: int = 3, spec: CacheSpec = SPEC) -> dict[str, tuple[str, NDArray[np.float32]]]:
    """Captions t0, t1 ..."""
    assert spec.text is not None
    shape = spec.text.shape
    draw = np.random.default_rng(100)
    return {f"t{i}": (f"caption {i}", draw.standard_normal(shape, np.float32)) for i in range(count)}


def cache_of(path: Path, cuts: list[CutFeatures], spec: CacheSpec = SPEC, part_bytes: int = 60_000) -> Path:
    """A finished cache of the cuts, in several parts; captions take turns."""
    create(path, spec)
    for cut in cuts:
        stage(path, cut)
    commit(path, [cut.cut_id for cut in cuts], part_bytes)
    if spec.text is not None:
        add_texts(path, texts(spec=spec))
    write_index(path, [shown(cut, f"t{number % 3}") for number, cut in enumerate(cuts)])
    return path


def files(path: Path) -> dict[str, bytes]:
    """Every file of a cache but locks, by its path within."""
    found = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix != ".lock")
    return {str(file.relative_to(path)): file.read_bytes() for file in found}

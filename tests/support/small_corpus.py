"""A corpus as curation leaves it, with real media and cuts where a test wants them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.media import write_media
from curation.pipeline.stages import Identify
from manifests.identity import cut_id, source_id
from manifests.recipe import Recipe, load_recipe
from manifests.records import Cut, Recording, Source
from manifests.store import Corpus

RATE = 16_000


def film(path: Path, seconds: float, seed: int = 1, video: bool = True, fps: int = 25) -> Path:
    """Blocks of colour that wander, and noise that swells: every picture and every second is its own."""
    rng = np.random.default_rng(seed)
    still = rng.integers(0, 256, (16, 24, 3), np.uint8).repeat(10, axis=0).repeat(10, axis=1)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for k in range(round(seconds * fps)):
            yield np.roll(still, (k % 160, 3 * k % 240), axis=(0, 1))

    def sound() -> Iterator[NDArray[np.float32]]:
        for second in range(int(np.ceil(seconds))):
            count = min(RATE, round((seconds - second) * RATE))
            t = second + np.arange(count) / RATE
            tone = 0.1 * np.sin(2 * np.pi * (300 + 40 * second) * t)
            swell = 0.05 + 0.04 * np.sin(2 * np.pi * t / 7)
            yield (tone + swell * rng.standard_normal(count)).astype(np.float32)[None]

    path.parent.mkdir(parents=True, exist_ok=True)
    write_media(
        path,
        frames=pictures() if video else None,
        fps=fps if video else None,
        audio=sound(),
        sample_rate=RATE,
        audio_codec="pcm_s16le" if path.suffix == ".wav" else "aac",
    )
    return path


def corpus_of(
    folder: Path,
    media: Path,
    cuts: Mapping[str, Sequence[tuple[float, float]]],
    recipe: Recipe | None = None,
    **columns: Any,
) -> Corpus:
    """A corpus of the files in `media` in which these spans, by file name, are accepted."""
    corpus = Corpus.create(folder)
    root = corpus.add_root(media)
    recordings: dict[str, Recording] = {}
    sources = []
    for name in cuts:
        uri = f"{root}:{name}"
        found = Identify().open()((uri, str(media / name)), lambda share: None).recording
        assert found is not None
        recordings[name] = found
        sources.append(
            Source(source_id=source_id(uri), uri=uri, recording_id=recordings[name].recording_id, origin="folder")
        )
    corpus.replace("sources", sources)
    corpus.replace("recordings", list(recordings.values()))
    decide(corpus, {recordings[name].recording_id: spans for name, spans in cuts.items()}, recipe, **columns)
    return corpus


def decide(
    corpus: Corpus,
    cuts: Mapping[str, Sequence[tuple[float, float]]],
    recipe: Recipe | None = None,
    **columns: Any,
) -> None:
    """Accept these spans, by recording, and no others."""
    chosen = recipe or load_recipe("packaged")
    corpus.set_recipe(chosen.settings(), chosen.hash)
    rows = []
    for recording_id, spans in cuts.items():
        for start, end in spans:
            row = Cut(
                cut_id=cut_id(recording_id, round(start * 1000), round(end * 1000)),
                recording_id=recording_id,
                start=start,
                end=end,
                decision="accept",
                risk=0.01,
                recipe_hash=chosen.hash,
            )
            rows.append(replace(row, **columns))
    corpus.replace("cuts", rows)

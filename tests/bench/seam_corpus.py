"""A corpus to train on and measure joins with: `python -m tests.bench.seam_corpus FOLDER`, then `make bench-seams`.

Films and single clips of `scenes.py`, and with `--media DIR` recordings of real sounds whose `truth.jsonl` says where
they are pure (`pure_spans`), and of which `channel` they are. All is extracted by the default
recipe: first what is trained on, to which the codec is fitted, then the films and channels that are kept for measuring,
then the single clips. A base learns from single clips and never sees the films that its adapters learn from, as
MMAudio's is trained on short videos: what it knew by heart, adapters could not improve. The cache's splits:

- "clips": single clips, of which 40 are "clips-val": for the base;
- "media": recordings, for the base and for adapters (without `--media`, take it out of the settings' `splits`);
- "train": films, of which four are "val": for adapters;
- "test", "media-test": films and recordings that are measured.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from app.terminal.progress import ProgressBars
from curation.pipeline.stages import Identify
from curation.runner import default_workers
from features.cache import IndexRow, write_index
from features.cache.index import read_index
from features.encoders import CLIP_SECONDS
from features.extraction.extract import extract
from manifests.identity import cut_id, source_id
from manifests.recipe import load_recipe
from manifests.records import Cut, Recording, Source
from manifests.store import Corpus
from manifests.time import to_ms
from tests.bench.scenes import film

SECONDS = 32  # of a film: four clips
FIRST_CLIP = 10_000  # seed of the single clips
LEAST_SECONDS = 24.0  # of a span of a recording: two joins
VALIDATION, MEASURED, CLIPS_VALIDATION = 4, 20, 40

Split = Literal["clips", "clips-val", "media", "train", "val", "test", "media-test"]


@dataclass(frozen=True)
class Item:
    """A file of one of the corpus's roots, and what is cut out of it."""

    root: Path
    name: str
    spans: tuple[tuple[float, float], ...]
    split: Split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="is made; films and the corpus lie in it")
    parser.add_argument("--films", type=int, default=104)
    parser.add_argument("--clips", type=int, default=440, help="single ones")
    parser.add_argument("--media", type=Path, help="recordings, with truth.jsonl")
    parser.add_argument("--measure", nargs="*", default=[], help="the media's channels that are kept for measuring")
    parser.add_argument("--without", nargs="*", default=[], help="beginnings of names of media that are left out")
    options = parser.parse_args()
    items = list(films(options.folder / "films", options.films))
    items += single_clips(options.folder / "clips", options.clips)
    if options.media:
        items += recordings(options.media, set(options.measure), tuple(options.without))
    corpus = Corpus.create(options.folder / "corpus")
    found = identified(corpus, items)
    single = {name: item for name, item in found.items() if item.split.startswith("clips")}
    films_and_media = {name: item for name, item in found.items() if name not in single}
    trained = {name: item for name, item in films_and_media.items() if not item.split.endswith("test")}
    with ProgressBars() as bars:
        for chosen in (trained, films_and_media, found):
            accept(corpus, chosen)
            folder = extract(corpus, workers=default_workers(), on_progress=bars).folder
    print(f"{folder}: clips {split(folder, found)}")


def films(folder: Path, count: int) -> Iterator[Item]:
    """Films by their seeds."""
    paths = {folder / f"film{seed:03d}.mp4": seed for seed in range(count)}
    write(paths, SECONDS)
    for path, seed in paths.items():
        left = count - seed
        side: Split = "test" if left <= MEASURED else "val" if left <= MEASURED + VALIDATION else "train"
        yield Item(folder, path.name, ((0.0, float(SECONDS)),), side)


def single_clips(folder: Path, count: int) -> Iterator[Item]:
    """Clips out of films of other seeds."""
    paths = {folder / f"clip{number:05d}.mp4": FIRST_CLIP + number for number in range(count)}
    write(paths, CLIP_SECONDS)
    for path, seed in paths.items():
        side: Split = "clips-val" if FIRST_CLIP + count - seed <= CLIPS_VALIDATION else "clips"
        yield Item(folder, path.name, ((0.0, float(CLIP_SECONDS)),), side)


def write(paths: dict[Path, int], seconds: int) -> None:
    """Write those films that are not there, each beside its place first."""
    todo = [(path, seed, seconds) for path, seed in paths.items() if not path.exists()]
    with ProcessPoolExecutor(default_workers(), get_context("spawn")) as pool:
        list(pool.map(_write, *zip(*todo, strict=True), chunksize=4) if todo else ())


def _write(path: Path, seed: int, seconds: int) -> None:
    beside = path.with_name(f".{path.name}")
    film(beside, seed, seconds)
    beside.rename(path)


def recordings(folder: Path, measured: set[str], without: tuple[str, ...]) -> Iterator[Item]:
    """What is pure of each recording with a picture."""
    for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines():
        truth = json.loads(line)
        spans = tuple((a, b) for a, b in truth["pure_spans"] if b - a >= LEAST_SECONDS)
        if spans and truth["video"] and not (without and truth["file"].startswith(without)):
            yield Item(folder, truth["file"], spans, "media-test" if truth["channel"] in measured else "media")


def identified(corpus: Corpus, items: list[Item]) -> dict[str, Item]:
    """Note sources and recordings; items by recording."""
    roots = {root: corpus.add_root(root) for root in dict.fromkeys(item.root for item in items)}
    found: dict[str, Item] = {}
    rows: dict[str, Recording] = {}
    sources = []
    for item in items:
        uri = f"{roots[item.root]}:{item.name}"
        recording = Identify().open()((uri, str(item.root / item.name)), lambda share: None).recording
        assert recording is not None
        rows[recording.recording_id], found[recording.recording_id] = recording, item
        own = Source(source_id=source_id(uri), uri=uri, recording_id=recording.recording_id, origin="folder")
        sources.append(own)
    corpus.replace("sources", sources)
    corpus.replace("recordings", list(rows.values()))
    return found


def accept(corpus: Corpus, items: dict[str, Item]) -> None:
    """Make the spans of these recordings the accepted cuts, as if listeners had heard them all."""
    recipe = load_recipe("default")
    corpus.set_recipe(recipe.settings(), recipe.hash)
    cuts = [
        Cut(
            cut_id=cut_id(recording, to_ms(start), to_ms(end)),
            recording_id=recording,
            start=start,
            end=end,
            decision="accept",
            risk=0.0,
            recipe_hash=recipe.hash,
        )
        for recording, item in items.items()
        for start, end in item.spans
    ]
    corpus.replace("cuts", cuts)


def split(folder: Path, items: dict[str, Item]) -> dict[str, int]:
    """Write the splits into the cache's index; returns the clips of each."""
    names = [field.name for field in fields(IndexRow)]
    rows = [IndexRow(**row) for row in read_index(folder).select(names).to_pylist()]
    rows = [replace(row, split=items[row.recording_id].split) for row in rows]
    write_index(folder, rows)
    clips: Counter[str] = Counter()
    for row in rows:
        clips[row.split] += row.clips
    return dict(clips)


if __name__ == "__main__":
    main()

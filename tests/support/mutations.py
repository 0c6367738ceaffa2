"""Mutated files: media through a whole run, feature caches through check and reader; each case under a time limit.

The cases of a seed are the same in every run. Workers of the runner carry them out: it ends what hangs, and blames a
crash on its case.
"""

from __future__ import annotations

import random
import resource
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from curation.media import write_media
from curation.pipeline.curate import curate
from curation.runner import Item, ItemResult, ProgressCallback, Stage, run_local
from features.cache import CacheError, FeatureCache, check, stage
from manifests.pages import PageError, pages
from manifests.recipe import Recipe, load_recipe, parse_recipe
from manifests.records import Drop, LedgerRow, Recording, Source
from manifests.store import Corpus
from manifests.validation import validate
from tests.support.cache_cases import cache_of, features, some
from tests.support.hostile_media import sound

MEMORY_BYTES = 12 << 30  # of addresses in a worker: what allocates a declared size fails
_SECONDS = 4  # of sound in a media file


def mutated(content: bytes, draw: random.Random, places: list[int] | None = None) -> bytes:
    """The content with one to four changes, at `places` if there are any: bits, bytes, pieces moved, lost or put in."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.choice(places) if places else draw.randrange(len(data) + 1)
        length = draw.choice((1, 1, 2, 4, 8, 64, 1024))
        kind = draw.randrange(8)
        if kind == 0:
            data[at : at + 1] = bytes([(data[at] if at < len(data) else 0) ^ 1 << draw.randrange(8)])
        elif kind == 1:
            data[at : at + length] = draw.randbytes(min(length, max(0, len(data) - at)))
        elif kind == 2:
            data[at : at + length] = bytes(min(length, max(0, len(data) - at)))
        elif kind == 3:
            data[at : at + length] = b"\xff" * min(length, max(0, len(data) - at))
        elif kind == 4:
            data[at:at] = draw.randbytes(length)
        elif kind == 5:
            del data[at : at + length]
        elif kind == 6:
            other = draw.randrange(len(data) + 1)
            data[at : at + length] = data[other : other + length]
        elif draw.random() < 0.3:
            del data[at:]
    return bytes(data)


# media


def media_files(folder: Path) -> list[Path]:
    """A short healthy file of each usual kind."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {
        "a.wav": ("pcm_s16le", None),
        "a.flac": ("flac", None),
        "a.ogg": ("flac", None),
        "a.opus": ("libopus", None),
        "a.mp3": ("libmp3lame", None),
        "a.m4a": ("aac", None),
        "a.mp4": ("aac", "libx264"),
        "a.mkv": ("libopus", "libx264"),
        "a.webm": ("libopus", "libvpx"),
        "a.avi": ("pcm_s16le", "mpeg4"),
        "a.ts": ("aac", "libx264"),
        "a.mov": ("pcm_s16le", "libx264"),
    }
    for number, (name, (audio, video)) in enumerate(kinds.items()):
        rate = 48_000 if audio == "libopus" else 16_000
        write_media(
            folder / name,
            frames=(np.full((64, 96, 3), 30 * k, np.uint8) for k in range(2 * _SECONDS)) if video else None,
            fps=Fraction(2) if video else None,
            video_codec=video or "libx264",
            audio=sound(_SECONDS, rate, seed=number),
            sample_rate=rate,
            audio_codec=audio,
        )
    return [folder / name for name in kinds]


def write_mutated_media(folder: Path, count: int, seed: int) -> None:
    """`count` mutated media files; half of the changes are in their first and last 2,000 bytes, where indexes are."""
    with tempfile.TemporaryDirectory() as healthy:
        bases = [(path.suffix, path.read_bytes()) for path in media_files(Path(healthy))]
    folder.mkdir(parents=True)
    for number in range(count):
        draw = random.Random(f"media {seed} {number}")
        suffix, content = bases[number % len(bases)]
        ends = [*range(min(2000, len(content))), *range(max(0, len(content) - 2000), len(content))]
        changed = mutated(content, draw, ends if draw.random() < 0.5 else None)
        (folder / f"{number:05d}{suffix}").write_bytes(changed)


def plain_recipe() -> Recipe:
    """A recipe whose detectors read every sample and need no network; cuts may be short."""
    settings = load_recipe("packaged").settings()
    speech = settings["contaminants"]["speech"]
    speech |= {"evidence": {"level.gap": {"bias": 0.5, "weight": 1.0}}, "suppressed_by": {}}
    settings |= {"detectors": ["level", "signal"], "contaminants": {"speech": speech}}
    settings["spans"] |= {"min_duration": 1.0, "max_duration": 3.0}
    return parse_recipe(settings, "test")


def curate_mutated_media(folder: Path, count: int, *, seed: int, seconds: float, workers: int) -> Counter[str]:
    """Outcomes of a run over `count` mutated files, each stage of each file with `seconds` to show a sign of life.

    Faults of the corpus after it are outcomes too. Raises AssertionError for a file without a row.
    """
    write_mutated_media(folder / "media", count, seed)
    corpus = Corpus.create(folder / "corpus")
    curate(corpus, [folder / "media"], plain_recipe(), workers=workers, runner=_limited(seconds))
    recordings = {row.recording_id: row for row in corpus.rows(Recording)}
    reasons: dict[str, str] = {}
    for drop in corpus.rows(Drop):
        reasons.setdefault(drop.item, drop.reason)
    outcomes: Counter[str] = Counter()
    for source in corpus.rows(Source):
        row = recordings.get(source.recording_id or "")
        reason = reasons.get(source.source_id) or (reasons.get(row.recording_id) if row else None)
        assert row is not None or reason is not None, f"{source.uri}: neither a recording nor a reason"
        outcomes[" ".join(filter(None, (row.status if row else "no recording", reason)))] += 1
    assert outcomes.total() == count, (outcomes.total(), count)
    for fault in validate(corpus):
        outcomes[f"VALIDATE {fault}"] += 1
    return outcomes


def slowest(corpus: Corpus) -> float:
    """The longest time that a stage took for an item, in seconds."""
    return max((row.seconds for row in corpus.rows(LedgerRow)), default=0.0)


def _limited(seconds: float) -> Callable[..., Generator[ItemResult[Any, Any], None, None]]:
    def runner(
        stage: Stage[Any, Any],
        items: Iterable[Item[Any]],
        *,
        workers: int,
        stall_seconds: float = 600.0,
        on_progress: ProgressCallback | None = None,
    ) -> Generator[ItemResult[Any, Any], None, None]:
        short = [replace(item, stall_seconds=seconds) for item in items]
        return run_local(stage, short, workers=workers, stall_seconds=seconds, on_progress=on_progress)

    return runner


# feature caches


def cache_to_mutate(folder: Path) -> Path:
    """A small cache with every kind of file."""
    path = cache_of(folder / "cache", some(6), part_bytes=1 << 20)
    stage(path, features(90))
    return path


@dataclass(frozen=True)
class TryCache:
    """Mutates one file of a cache, and reads all of it. Payload: the number of the case; result: its outcome."""

    cache: Path
    seed: int
    name: str = "try cache"
    unit: str = "caches"

    def open(self) -> Callable[[int, Callable[[float], None]], str]:
        """Limit this worker's memory, and read the healthy cache."""
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
        expected = everything(self.cache)
        return lambda number, _: self._tried(number, expected)

    def _tried(self, number: int, expected: Mapping[str, bytes]) -> str:
        draw = random.Random(f"cache {self.seed} {number}")
        files = sorted(path for path in self.cache.rglob("*") if path.is_file() and path.suffix != ".lock")
        chosen = draw.choice(files)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cache"
            shutil.copytree(self.cache, path)
            content = chosen.read_bytes()
            places = header_places(chosen) if chosen.suffix == ".parquet" and draw.random() < 0.6 else None
            changed = mutated(content, draw, places)
            (path / chosen.relative_to(self.cache)).write_bytes(changed)
            found = [str(problem) for problem in check(path)]
            assert all(len(line.splitlines()) == 1 for line in found), found
            try:
                read = everything(path)
            except CacheError as error:
                assert len(str(error).splitlines()) == 1, str(error)
                return "found by check, refused by the reader" if found else "refused by the reader alone"
            if found:
                return "found by check, readable"
            return "read as it was" if read == expected else "other values, not found"


def everything(path: Path) -> dict[str, bytes]:
    """All values of a cache, by name. Raises CacheError."""
    cache = FeatureCache(path)
    batch = cache.take(range(len(cache)))
    whole = {f"{name} {row}": values for row in range(len(cache.cuts)) for name, values in cache.whole(row).items()}
    return {name: values.numpy().tobytes() for name, values in (batch | whole).items()}


def header_places(path: Path) -> list[int]:
    """Positions of the bytes of a Parquet file that declare something: page headers and the footer."""
    content, metadata = path.read_bytes(), pq.read_metadata(path)
    found = list(range(len(content) - 8 - metadata.serialized_size, len(content)))
    for group in range(metadata.num_row_groups):
        for leaf in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(leaf)
            begin = chunk.dictionary_page_offset or chunk.data_page_offset
            try:
                for at, header in pages(memoryview(content), begin, begin + chunk.total_compressed_size):
                    found += [*range(at, at + header.length)] * 8  # as often as the footer, which is longer
            except PageError:
                continue
    return found


def read_mutated_caches(folder: Path, count: int, *, seed: int, seconds: float, workers: int) -> Counter[str]:
    """Outcomes of reading `count` mutated caches, each within `seconds`; faults by their text."""
    cache = cache_to_mutate(folder)
    items = [Item(str(number), str(number), number) for number in range(count)]
    outcomes: Counter[str] = Counter()
    for ended in run_local(TryCache(cache, seed), items, workers=workers, stall_seconds=seconds):
        text = ended.value if ended.status == "done" else f"FAULT {ended.status}: {ended.error} (case {ended.item.key})"
        outcomes[text or ""] += 1
    return outcomes

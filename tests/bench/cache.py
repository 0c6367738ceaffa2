"""`make bench-cache`: what reading the feature cache costs, beside its rivals, on the same random data in one run.

The full profile's arrays (visual 64 x 1024, sync 192 x 768, mean and std 345 x 40, text 77 x 1024; float16), a caption
for each clip, from a warm page cache, in shuffled batches, by one thread. The rivals: a TensorDict of memory maps, item
by item and collated; one memory map an array and `index_select`; Parquet as pyarrow writes it by default, in row groups
of 64 clips (by default all clips would be in one), a group decoded for each clip, as shuffled clips need. The first
three take turns in random order, round after round, and ratios are of the same round: their median is printed with the
asked figure. Then the time to open a cache of 20,000 clips; its arrays are small, its parts and row groups as many as
those of full ones.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from tensordict import TensorDict
from torch.utils.data import default_collate

from features.cache import (
    CacheSpec,
    CutFeatures,
    FeatureCache,
    IndexRow,
    StreamSpec,
    add_texts,
    create,
    write_index,
)
from features.cache.cut import StoredCut, checked
from features.cache.parts import append_cuts, writing

FULL = CacheSpec(
    audio=StreamSpec("vae_44k", "bench", 43.066, 40, 345),
    visual=StreamSpec("clip", "bench", 8.0, 1024, 64),
    sync=StreamSpec("synchformer", "bench", 24.0, 768, 192),
    text=StreamSpec("clip_text", "bench", None, 1024, 77),
)
SMALL = CacheSpec(
    audio=StreamSpec("vae", "bench", 1.0, 2, 2),
    visual=StreamSpec("visual", "bench", 8.0, 2, 2),
    sync=StreamSpec("sync", "bench", 24.0, 2, 2),
    text=StreamSpec("text", "bench", None, 2, 2),
)
STREAMS = ("visual", "sync", "mean", "std", "text")
DEFAULT_GROUP = 64  # rows
MANY, MANY_CUT = 20_000, 10  # clips of the cache that is opened, and of each of its cuts

Arrays = dict[str, NDArray[np.float16]]
Read = Callable[[list[int]], dict[str, torch.Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1024, help="694 KB each, three times on disk (default 1024)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where to put the data, removed afterwards (default: temporary)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        reading(Path(folder), options.clips, options.batch, options.rounds)
        opening(Path(folder) / "many")


def reading(folder: Path, count: int, batch: int, rounds: int) -> None:
    """All clips in shuffled order by each reader, round after round."""
    write_cache(folder / "ours", FULL, count, clips_of_a_cut=1, many=False)
    cache = FeatureCache(folder / "ours")
    flat = write_memmaps(cache, folder / "memmap", batch)
    tensors = TensorDict.load_memmap(folder / "memmap")
    defaults = write_defaults(cache, folder / "defaults.parquet")

    def ours(indices: list[int]) -> dict[str, torch.Tensor]:
        return cache.take(indices, STREAMS)

    def tensordict(indices: list[int]) -> dict[str, torch.Tensor]:
        items = [{name: tensors[name][index] for name in STREAMS} for index in indices]
        collated: dict[str, torch.Tensor] = default_collate(items)
        return collated

    def raw(indices: list[int]) -> dict[str, torch.Tensor]:
        picked = torch.tensor(indices)
        return {name: values.index_select(0, picked) for name, values in flat.items()}

    order = np.random.default_rng(0)
    first = [int(index) for index in order.permutation(min(count, DEFAULT_GROUP))[:batch]]
    wanted = ours(first)
    for other in (tensordict, raw, defaults):
        for name, values in other(first).items():
            assert torch.equal(values, wanted[name]), f"{name} differs"
    readers: dict[str, Read] = {"ours": ours, "tensordict": tensordict, "raw": raw}
    for read in readers.values():  # the first touch of a page is the kernel's work
        rate(read, order.permutation(count), batch)
    rates: dict[str, list[float]] = {name: [] for name in (*readers, "defaults")}
    for _ in range(rounds):
        shuffled = order.permutation(count)
        for name in order.permutation(list(readers)).tolist():
            rates[name].append(rate(readers[name], shuffled, batch))
    # by itself: what it leaves behind in the processor's caches would cost whoever comes next
    for _ in range(rounds):
        rates["defaults"].append(rate(defaults, order.permutation(count)[:batch], batch))
    size = sum(int(np.prod(wanted[name].shape[1:])) * 2 for name in STREAMS)
    print(f"{count} clips of {size / 1000:.0f} KB, shuffled batches of {batch}, {rounds} rounds, clips a CPU second:")
    for name, text in (
        ("ours", "feature cache, take"),
        ("tensordict", "TensorDict memmap, items collated"),
        ("raw", "raw memmap, index_select"),
        ("defaults", "Parquet, pyarrow's defaults"),
    ):
        print(
            f"  {text:<36}{statistics.median(rates[name]):>10.1f}  ({min(rates[name]):.1f} to {max(rates[name]):.1f})"
        )
    for name, text, asked in (
        ("tensordict", "TensorDict", 1.0),
        ("raw", "raw memmap", 0.5),
        ("defaults", "pyarrow's defaults", 100.0),
    ):
        ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates[name], strict=True))
        print(f"ours / {text}: {ratio:.2f}x (asked: {asked:g}x){'' if ratio >= asked else '  MISSED'}")


def opening(path: Path) -> None:
    """The time until a cache of many clips can be read."""
    write_cache(path, SMALL, MANY, clips_of_a_cut=MANY_CUT, many=True)
    walls, times = [], []
    for _ in range(9):
        wall, began = time.perf_counter(), time.process_time()
        cache = FeatureCache(path)
        walls.append(time.perf_counter() - wall)
        times.append(time.process_time() - began)
    assert len(cache) == MANY, f"{len(cache)} clips"
    parts = list((path / "clips").iterdir())
    groups = sum(pq.read_metadata(part).num_row_groups for part in parts)
    taken = statistics.median(times)
    print(f"opening {len(cache)} clips, {len(cache.cuts)} cuts, {groups} row groups in {len(parts)} parts:")
    print(f"  {taken:.3f} s of CPU time (asked: 0.2 s){'' if taken <= 0.2 else '  MISSED'}")
    print(f"  {statistics.median(walls):.3f} s by the clock ({min(walls):.3f} to {max(walls):.3f})")


def rate(read: Read, order: NDArray[np.int64], batch: int) -> float:
    """Clips a second of CPU time, of a pass in that order: what others do on the machine does not count."""
    batches = [order[first : first + batch].tolist() for first in range(0, len(order), batch)]
    began = time.process_time()
    for indices in batches:
        read(indices)
    return len(order) / (time.process_time() - began)


def cuts(spec: CacheSpec, count: int, clips_of_a_cut: int) -> Iterator[CutFeatures]:
    """Random features."""
    draw = np.random.default_rng(1)

    def random(*shape: int) -> NDArray[np.float32]:
        return draw.standard_normal(shape, np.float32)

    for number in range(count // clips_of_a_cut):
        n = clips_of_a_cut
        whole = {name: random(2, shape[1]) for name, shape in spec.whole_shapes().items()}
        clips = {name: random(n, *shape) for name, shape in spec.clip_shapes().items()}
        starts = 8.0 * np.arange(n, dtype=np.float64)
        yield CutFeatures(f"{number:016x}", f"{number:016x}", 0.0, 8.0 * n, True, starts, clips, whole)


def write_cache(path: Path, spec: CacheSpec, count: int, clips_of_a_cut: int, many: bool) -> None:
    """A cache of random cuts, each with a caption of its own; `many`: in about as many parts as full arrays take."""
    create(path, spec)
    rows: dict[str, IndexRow] = {}
    draw = np.random.default_rng(2)
    texts: dict[str, tuple[str, NDArray[Any]]] = {}

    def noted(cut: CutFeatures) -> StoredCut:
        assert spec.text is not None
        caption = f"sound {cut.cut_id}"
        texts[cut.cut_id] = caption, draw.standard_normal(spec.text.shape, np.float32)
        rows[cut.cut_id] = IndexRow(
            cut.cut_id,
            cut.recording_id,
            cut.start,
            cut.end,
            len(cut.clip_starts),
            cut.has_video,
            caption=caption,
            caption_source="bench",
            text_id=cut.cut_id,
            split="train",
        )
        return checked(spec, cut)

    source = (noted(cut) for cut in cuts(spec, count, clips_of_a_cut))
    wave = MANY // MANY_CUT // 28 + 1 if many else count
    with writing(path):
        while append_cuts(path, spec, islice(source, wave)).cuts:
            pass
    add_texts(path, texts)
    write_index(path, rows.values())


def write_memmaps(cache: FeatureCache, folder: Path, batch: int) -> dict[str, torch.Tensor]:
    """The same arrays as a TensorDict of memory maps, and the maps themselves."""
    folder.mkdir()
    one = cache[0]
    maps = {
        name: np.memmap(folder / f"{name}.raw", np.float16, "w+", shape=(len(cache), *one[name].shape))
        for name in STREAMS
    }
    for first in range(0, len(cache), batch):
        indices = range(first, min(first + batch, len(cache)))
        for name, values in cache.take(indices, STREAMS).items():
            if name in maps:
                maps[name][first : indices.stop] = values.numpy()
    flat = {name: torch.from_numpy(values) for name, values in maps.items()}
    TensorDict(dict(flat), batch_size=[len(cache)]).memmap(folder)
    return flat


def write_defaults(cache: FeatureCache, path: Path) -> Read:
    """A row group as pyarrow writes it when asked for nothing, and a reader that decodes it for each clip."""
    count = min(DEFAULT_GROUP, len(cache))
    shapes = {name: tuple(values.shape) for name, values in cache[0].items()}
    parts = sorted((cache.path / "clips").iterdir())
    clips = pq.read_table(parts[0]).slice(0, count)
    texts = pq.read_table(cache.path / "texts" / "part-00000.parquet").slice(0, count)
    pq.write_table(clips.append_column("text", texts["text"]), path)

    def read(indices: list[int]) -> dict[str, torch.Tensor]:
        rows: dict[str, list[torch.Tensor]] = {name: [] for name in STREAMS}
        for index in indices:
            table = pq.ParquetFile(path).read_row_group(0, columns=list(STREAMS))
            for name in STREAMS:
                row = table[name].chunk(0).slice(index % count, 1)
                values = np.array(row.flatten().flatten())
                rows[name].append(torch.from_numpy(values.reshape(shapes[name])))
        return {name: torch.stack(values) for name, values in rows.items()}

    return read


if __name__ == "__main__":
    main()

"""MMAudio's stored features: a folder of TensorDict memory maps, and a table (TSV) of ids and captions.

The folder has `meta.json` (shape and type of each array, by name) and `<name>.memmap`, row after row without a header,
as `tensordict.TensorDict.memmap` writes it: mean, std (n, N, C), clip_features (n, 64, D), sync_features (n, 192, D),
text_features (n, 77, D). Row i belongs to line i of the table: `id` and `label` in sets with video, `id` and
`caption` in sets of audio alone, which have neither clip_features nor sync_features.
Source: hkchengrex/MMAudio, training documentation and extraction scripts; pytorch/tensordict.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manifests.bounded import one_line, read_json
from manifests.files import write_beside
from manifests.identity import digest

from . import (
    PART_BYTES,
    CacheError,
    CacheSpec,
    CutClips,
    CutFeatures,
    FeatureCache,
    IndexRow,
    StreamSpec,
    create,
    stored,
    write_index,
)
from .cut import checked, checked_text
from .parts import append_cuts, append_texts, writing
from .spec import DType, Shape

Kind = Literal["video", "audio"]
_CAPTION = {"video": "label", "audio": "caption"}
_NAMES = {"mean": "mean", "std": "std", "visual": "clip_features", "sync": "sync_features", "text": "text_features"}
"""Our column -> their array."""

_ROWS = 16  # in memory at once


def write_memmap(
    cache: FeatureCache,
    folder: Path,
    table: Path | None = None,
    kind: Kind = "video",
    split: str | None = None,
    dtype: DType = "float32",
) -> int:
    """Write the clips of a cache as MMAudio reads them, a row each with the id `<cut_id>_<clip>`; returns their number.

    A set of "video" has the cuts with video, a set of "audio" all cuts, without their video features. The table and
    `meta.json` are written last: a folder without them is unfinished. `table` None: `folder`.tsv, beside the folder.
    Raises CacheError if the cache lacks a stream.
    """
    table = table or table_beside(folder)
    columns = [name for name in _NAMES if kind == "video" or name not in ("visual", "sync")]
    missing = [name for name in columns if name not in cache.columns]
    if missing:
        raise CacheError(f"{cache.path}: stream {missing[0]} is missing; a set of {kind} needs it")
    clips = CutClips(cache, split, True if kind == "video" else None, columns)
    shapes = {**cache.spec.clip_shapes(), **cache.spec.text_shapes()}
    if not len(clips):
        raise CacheError(f"{cache.path}: no clips for a set of {kind}{f' of split {split}' if split else ''}")
    folder.mkdir(parents=True, exist_ok=True)
    lines = io.StringIO()
    lines_out = csv.writer(lines, delimiter="\t", lineterminator="\n")
    lines_out.writerow(["id", _CAPTION[kind]])
    captions = cache.cuts.select(["cut_id", "caption"]).to_pylist()
    arrays = {name: folder / f"{_NAMES[name]}.memmap" for name in columns}
    for path in (folder / "meta.json", *arrays.values()):
        path.unlink(missing_ok=True)
    for first in range(0, len(clips), _ROWS):
        batch = clips.__getitems__(list(range(first, min(first + _ROWS, len(clips)))))
        for name, path in arrays.items():
            with path.open("ab") as file:
                file.write(batch[name].numpy().astype(f"<f{np.dtype(dtype).itemsize}", copy=False).tobytes())
        for cut, clip in zip(batch["cut"].tolist(), batch["clip"].tolist(), strict=True):
            lines_out.writerow([f"{captions[cut]['cut_id']}_{clip}", captions[cut]["caption"]])
    about = {
        _NAMES[name]: {
            "device": "cpu",
            "shape": [len(clips), *shapes[name]],
            "dtype": f"torch.{dtype}",
            "is_nested": False,
        }
        for name in columns
    }
    meta: dict[str, Any] = {
        **about,
        "shape": [len(clips)],
        "device": "cpu",
        "_type": "<class 'tensordict._td.TensorDict'>",
        "_format_version": 1,
        "_class": "tensordict:TensorDict",
    }
    with write_beside(folder / "meta.json") as file:
        file.write(json.dumps(meta).encode())
    with write_beside(table) as file:
        file.write(lines.getvalue().encode("utf-8"))
    return len(clips)


def read_memmap(
    folder: Path,
    path: Path,
    spec: CacheSpec | None = None,
    *,
    table: Path | None = None,
    split: str = "train",
    part_bytes: int = PART_BYTES,
) -> int:
    """Make a cache from MMAudio's features: each row is a cut of one clip, from 0 to 8 s of a recording of that id.

    `spec` names the encoders and is checked against the arrays' sizes; None: MMAudio's encoders (`described`). `table`
    None: `folder`.tsv, beside the folder. Called again after a kill, it resumes. The index is replaced: the cache shows
    this set. Returns the number of rows. Raises CacheError, naming file and row, for features that do not match.
    """
    spec, table = spec or described(folder), table or table_beside(folder)
    maps = _open_maps(folder, spec)
    rows = _read_table(table)
    count = len(maps["mean"])
    if len(rows) != count:
        raise CacheError(f"{table}: {len(rows)} lines, but {folder} has {count} rows")
    has_video = "visual" in maps
    create(path, spec)
    text_ids = {caption: digest("text", caption) for _, caption in rows}
    known = set(stored(path))

    def cuts() -> Iterator[CutFeatures]:
        for row, (cut_id, _) in enumerate(rows):
            if cut_id not in known:
                arrays = {name: np.array(values[row]) for name, values in maps.items() if name != "text"}
                clips = {name: values[None] for name, values in arrays.items()}
                whole = {f"{name}_all": arrays[name] for name in ("visual", "sync") if name in arrays}
                end = float(spec.clip_seconds)
                yield CutFeatures(cut_id, cut_id, 0.0, end, has_video, np.zeros(1), clips, whole)

    def texts() -> Iterator[tuple[str, str, NDArray[Any]]]:
        seen: set[str] = set()
        for row, (_, caption) in enumerate(rows):
            if caption not in seen:
                seen.add(caption)
                text_id = text_ids[caption]
                yield text_id, caption, checked_text(spec, text_id, np.array(maps["text"][row]))

    with writing(path):
        append_cuts(path, spec, (checked(spec, cut) for cut in cuts()), part_bytes)
        if spec.text is not None:
            append_texts(path, spec, texts())
    write_index(
        path,
        (
            IndexRow(
                cut_id,
                cut_id,
                0.0,
                float(spec.clip_seconds),
                1,
                has_video,
                caption=caption,
                caption_source="mmaudio",
                text_id=text_ids[caption] if spec.text is not None else "",
                split=split,
            )
            for cut_id, caption in rows
        ),
    )
    return count


def described(folder: Path, dtype: DType = "float16") -> CacheSpec:
    """The streams of MMAudio's features: CLIP, Synchformer, CLIP's text encoder and one of the two autoencoders.

    Raises CacheError for arrays of other sizes.
    """
    meta = _read_meta(folder)
    present = {name: meta[theirs] for name, theirs in _NAMES.items() if isinstance(meta.get(theirs), dict)}
    sizes = {name: tuple(array["shape"][1:]) for name, array in present.items()}
    codec = {(250, 20): ("vae_16k", 31.25), (345, 40): ("vae_44k", 44_100 / 1024)}.get(sizes.get("mean", ()))
    if codec is None:
        raise CacheError(
            f"{folder / 'meta.json'}: latents of {sizes.get('mean')}, MMAudio's are (250, 20) or (345, 40)"
        )
    length, dimension = sizes["mean"]

    def stream(name: str, encoder: str, rate: float | None) -> StreamSpec | None:
        return StreamSpec(encoder, "mmaudio", rate, sizes[name][1], sizes[name][0]) if name in sizes else None

    return CacheSpec(
        StreamSpec(codec[0], "mmaudio", codec[1], dimension, length),
        visual=stream("visual", "clip", 8.0),
        sync=stream("sync", "synchformer", 25.0),
        text=stream("text", "clip_text", None),
        dtype=dtype,
    )


def table_beside(folder: Path) -> Path:
    """The default table of a folder of memory maps."""
    return folder.absolute().with_name(f"{folder.absolute().name}.tsv")


def _read_meta(folder: Path) -> dict[str, Any]:
    try:
        meta = read_json(folder / "meta.json")
        if not isinstance(meta, dict):
            raise ValueError("not a table")
        for name in _NAMES.values():
            sizes = meta[name].get("shape") if isinstance(meta.get(name), dict) else [1]
            if not isinstance(sizes, list) or not all(isinstance(size, int) and size > 0 for size in sizes):
                raise ValueError(f"{name} of shape {one_line(repr(sizes))}")
        return meta
    except (OSError, ValueError) as error:
        raise CacheError(f"{folder / 'meta.json'}: not the description of a TensorDict: {error}") from error


def _open_maps(folder: Path, spec: CacheSpec) -> dict[str, NDArray[Any]]:
    """The folder's arrays by our names, mapped. Raises CacheError if they do not match `meta.json` or `spec`."""
    meta = _read_meta(folder)
    has_video = _NAMES["visual"] in meta
    shapes: dict[str, Shape] = {**spec.clip_shapes(), **spec.text_shapes()}
    maps: dict[str, NDArray[Any]] = {}
    for name, shape in shapes.items():
        if name in ("visual", "sync") and not has_video:
            continue
        file, entry = folder / f"{_NAMES[name]}.memmap", meta.get(_NAMES[name])
        if not isinstance(entry, dict):
            raise CacheError(f"{folder / 'meta.json'}: {_NAMES[name]} is missing")
        kind = str(entry.get("dtype")).removeprefix("torch.")
        if kind not in ("float16", "float32", "float64"):
            raise CacheError(f"{file}: values of type {kind}, must be floats")
        size = tuple(entry["shape"])
        if size[1:] != shape:
            raise CacheError(f"{file}: rows of shape {size[1:]}, the cache's are {shape}")
        actual = file.stat().st_size if file.exists() else 0
        wanted = math.prod(size) * np.dtype(kind).itemsize
        if actual != wanted or not wanted:
            raise CacheError(f"{file}: {actual} bytes, {size[0]} rows need {wanted}")
        maps[name] = np.memmap(file, np.dtype(kind).newbyteorder("<"), "r", shape=size)
    return maps


def _read_table(table: Path) -> list[tuple[str, str]]:
    """Ids and captions. Raises CacheError naming the line."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file, delimiter="\t")
            names = lines.fieldnames or []
            column = next((name for name in _CAPTION.values() if name in names), None)
            if "id" not in names or column is None:
                raise CacheError(f"{table}: columns {', '.join(names)}; id, and label or caption, are required")
            rows = [(line["id"], line[column]) for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CacheError(f"{table}: unreadable: {error}") from error
    seen: set[str] = set()
    for number, (cut_id, caption) in enumerate(rows, start=2):
        if not cut_id or caption is None:
            raise CacheError(f"{table}: line {number}: id or {column} is missing")
        if cut_id in seen:
            raise CacheError(f"{table}: line {number}: id {cut_id} is repeated")
        seen.add(cut_id)
    return rows

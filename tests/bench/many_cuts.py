"""A corpus of very many cuts, written by the tables' own writers: what finding in one is measured on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from manifests.identity import cut_id, digest
from manifests.recipe import load_recipe
from manifests.schema import SCHEMAS, to_table
from manifests.store import Corpus
from manifests.time import to_ms

CUTS_A_RECORDING = 25
_WORDS = ("harbour", "forest", "workshop", "kitchen", "storm", "farmyard", "station", "glacier", "market", "river")
_DECISIONS = ("accept", "review", "reject")
_REASONS = ("possible_speech", "possible_music", "possible_singing", "clipping", "narrow_band", "still_picture")
_LICENCES = ("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", None)
_LABELS = ("speech", "music", "singing", "silence", "artifact")


def many_cuts(folder: Path, count: int = 100_000, seed: int = 7) -> Corpus:
    """A corpus of `count` cuts, a hundred times fewer verdicts, three events a cut and some drops; the same every time.

    There is no media behind it: it is for what lists, counts and filters.
    """
    rng = np.random.default_rng(seed)
    corpus = Corpus.create(folder)
    recipe = load_recipe("default")
    corpus.set_recipe(recipe.settings(), recipe.hash)
    kept = -(-count // CUTS_A_RECORDING)
    names = [digest("recording", str(number)) for number in range(kept + kept // 10)]
    lengths = rng.uniform(70, 290, (kept, CUTS_A_RECORDING))
    starts = np.round(np.cumsum(lengths + 10, axis=1) - lengths, 3).ravel()[:count]
    ends = np.round(starts + lengths.ravel()[:count], 3)
    of = np.repeat(np.arange(kept), CUTS_A_RECORDING)[:count]
    durations = np.concatenate(
        [np.round(lengths.sum(axis=1) + 10 * CUTS_A_RECORDING + 60, 3), rng.uniform(5, 59, len(names) - kept)]
    )
    corpus.replace("sources", _sources(names, rng))
    corpus.replace("recordings", _recordings(names, durations, rng))
    cuts = _cuts(names, of, starts, ends, rng, recipe.hash)
    corpus.replace("cuts", cuts)
    corpus.replace("events", _events(names, durations[:kept], 3 * count, rng))
    corpus.replace("drops", _drops(names[kept:], cuts))
    corpus.append("verdicts", _verdicts(cuts.slice(0, count // 100)))
    return corpus


def _full(name: str, rows: int, **columns: object) -> pa.Table:
    """The table with these columns; those not given are null."""
    made = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in SCHEMAS[name]
    ]
    return to_table(name, pa.Table.from_arrays(made, schema=SCHEMAS[name]))


def _sources(names: list[str], rng: np.random.Generator) -> pa.Table:
    words = rng.choice(_WORDS, (len(names), 2))
    return _full(
        "sources",
        len(names),
        source_id=[digest("source", name) for name in names],
        uri=[f"media:{a}/{a}-{b}-{name}.mp4" for (a, b), name in zip(words, names, strict=True)],
        recording_id=names,
        origin=["folder"] * len(names),
        channel=[f"channel {number}" for number in rng.integers(0, 300, len(names))],
        title=[f"{a.title()} and {b}, part {place}" for place, (a, b) in enumerate(words)],
        licence=[_LICENCES[number] for number in rng.integers(0, len(_LICENCES), len(names))],
    )


def _recordings(names: list[str], durations: NDArray[np.float64], rng: np.random.Generator) -> pa.Table:
    count = len(names)
    return _full(
        "recordings",
        count,
        recording_id=names,
        uri=[f"media:{name[:2]}/{name}.mp4" for name in names],
        duration=durations,
        audio_end=durations,
        video_end=durations,
        container=["mp4"] * count,
        sample_rate=[48_000] * count,
        has_video=rng.random(count) > 0.1,
        status=["ok"] * count,
    )


def _cuts(
    names: list[str],
    of: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    rng: np.random.Generator,
    recipe_hash: str,
) -> pa.Table:
    count = len(of)
    decided = rng.choice(3, count, p=[0.6, 0.3, 0.1])
    risk = np.where(decided == 0, rng.beta(1.5, 8, count) * 0.4, 0.3 + 0.7 * rng.beta(1.5, 3, count))
    reasons = rng.integers(0, len(_REASONS), count)
    return _full(
        "cuts",
        count,
        cut_id=[cut_id(names[r], to_ms(a), to_ms(b)) for r, a, b in zip(of, starts, ends, strict=True)],
        recording_id=[names[r] for r in of],
        start=starts,
        end=ends,
        decision=[_DECISIONS[one] for one in decided],
        reasons=[[] if one == 0 else [_REASONS[reason]] for one, reason in zip(decided, reasons, strict=True)],
        risk=risk.astype(np.float32),
        recipe_hash=[recipe_hash] * count,
        loudness_lufs=rng.normal(-24, 6, count).astype(np.float32),
        clipped=(rng.exponential(0.001, count)).astype(np.float32),
        bandwidth_hz=rng.choice([8000, 11_000, 16_000, 20_000, 24_000], count).astype(np.float32),
        dc=np.abs(rng.normal(0, 0.004, count)).astype(np.float32),
        dead_channels=np.zeros(count, np.int16),
        copied_channels=(rng.random(count) < 0.2).astype(np.int16),
        mono_loss_db=rng.exponential(1.2, count).astype(np.float32),
        dropouts=rng.exponential(0.1, count).astype(np.float32),
        still_share=rng.beta(1, 6, count).astype(np.float32),
        scene_cuts=rng.exponential(2, count).astype(np.float32),
    )


def _events(names: list[str], durations: NDArray[np.float64], count: int, rng: np.random.Generator) -> pa.Table:
    of = np.arange(count) % len(durations)
    starts = np.round(rng.random(count) * (durations[of] - 5), 3)
    return _full(
        "events",
        count,
        recording_id=[names[r] for r in of],
        start=starts,
        end=np.round(starts + rng.uniform(0.2, 4, count), 3),
        label=rng.choice(_LABELS, count),
        source=["fusion"] * count,
        score=rng.random(count).astype(np.float32),
    )


def _drops(short: list[str], cuts: pa.Table) -> pa.Table:
    turned_down = cuts.filter(pc.equal(cuts["decision"], "reject"))
    items = [*short, *turned_down["cut_id"].to_pylist()]
    return _full(
        "drops",
        len(items),
        item=items,
        item_kind=["recording"] * len(short) + ["cut"] * turned_down.num_rows,
        stage=["decide"] * len(items),
        reason=["too_short"] * len(short) + [row[0] for row in turned_down["reasons"].to_pylist()],
    )


def _verdicts(cuts: pa.Table) -> pa.Table:
    count = cuts.num_rows
    rows = {name: cuts[name].to_pylist() for name in ("cut_id", "recording_id", "start", "end")}
    return _full(
        "verdicts",
        count,
        verdict_id=[digest("verdict", one) for one in rows["cut_id"]],
        recording_id=rows["recording_id"],
        start_ms=list(map(to_ms, rows["start"])),
        end_ms=list(map(to_ms, rows["end"])),
        decision=[("keep", "reject", "unsure")[place % 3] for place in range(count)],
        reasons=[[]] * count,
        excised=[[]] * count,
        method=["reviewer"] * count,
        author=["bench"] * count,
        comment=["a plane, far away" if place % 10 == 0 else None for place in range(count)],
        made_at=[datetime(2026, 1, 1, tzinfo=UTC)] * count,
    )

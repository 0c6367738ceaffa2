"""`make bench-seams ARGS="CORPUS --base FILE --adapters FILE ..."`: whether adapters make the joins of sounds better.

The sound of cuts whose features a corpus has cached is made clip by clip and joined hard, by the base alone and with
each set of adapters, from the same noise. The reference is the codec's own: the latents of the real sound, decoded clip
by clip and joined alike, which is the best that any network can do here. Printed are, by noise seed and as means over
seeds with 95 % intervals (Student's t over seeds):

- rel, log: the change of energy within 10 ms of a join (`model.metrics.seams`), the mean over a cut's joins, then cuts;
- control: rel at random other times of the same sound. What lowers it, too, made the sound smoother, not its joins;
- LU: integrated loudness less that of the reference, the mean over cuts;
- FD: Fréchet distance of aisfx embeddings, all cuts together, from the reference's. Few vectors bias it upwards, all
  sounds alike.

The comparison counts the cuts whose loudness adapters leave within 1 dB of the base's, by the same noise: a louder or
quieter sound is another sound; all of them follow. `--picture` draws the energy about the joins, `--json` keeps all
figures.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from curation.backends.weights import ModelUnavailable
from curation.detectors.score_store import setup_of
from features.cache import FeatureCache
from features.cache.of_corpus import FOLDER, cache_name, cache_spec
from features.encoders import CLIP_SECONDS, spec
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.time import to_ticks
from model.adapters import load_adapters
from model.errors import ModelError
from model.generation import (
    ClipPlan,
    ClipSampler,
    Sampling,
    Vocoder,
    audio_of,
    check_fit,
    joined,
    open_vocoder,
    plan_clips,
)
from model.generation.cached import CachedCut
from model.metrics import Moments, SeamMetrics, clip_joins, control_times, energies, frechet_distance, loudness
from model.metrics.embeddings import DIMENSION, SfxEmbedding
from model.metrics.seams import WINDOW_SECONDS
from model.mmaudio import base_hash, load_base
from tests.bench.seams_picture import draw

SEEDS_APART, CUTS_APART = 1_000_000, 1000  # a cut's clip i begins with the noise of its seed + i: no two share theirs
CONTROLS = 20  # random times for each join
LIMIT_LU = 1.0
ABOUT_SECONDS = 1.0  # of the picture, before and after a join
REFERENCE, BASE = "reference", "base"

Float = NDArray[np.floating]


@dataclass(frozen=True)
class Wanted:
    """A cut, how it is laid out, and the times that are looked at: where its clips meet, and others."""

    cut_id: str
    looked: CachedCut
    plan: ClipPlan
    joins: list[float]
    others: list[float]


@dataclass(frozen=True)
class Heard:
    """What was measured of one sound of one cut; `about` (joins, frames): mean squares of 10 ms frames about joins."""

    seams: SeamMetrics
    control: SeamMetrics
    lufs: float
    about: Float


@dataclass
class Made:
    """Of one seed (or the reference): what was heard, by cut, and the moments of all embeddings."""

    heard: dict[str, Heard]
    moments: Moments

    @property
    def about(self) -> Float:
        """(joins, frames), of all cuts."""
        return np.concatenate([one.about for one in self.heard.values()])

    def mean(self, what: str) -> float:
        """Over cuts."""
        kinds = {
            "rel": lambda one: one.seams.rel,
            "log": lambda one: one.seams.log,
            "control": lambda one: one.control.rel,
        }
        return float(np.mean([kinds[what](one) for one in self.heard.values()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, nargs="+", default=[], help="each against the base")
    parser.add_argument("--cuts", nargs="+", help="ids of cuts (default: those of --split)")
    parser.add_argument("--split", default="val", help="train, val or test (default val)")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the base")
    parser.add_argument("--batch-size", type=int, help="clips a batch")
    parser.add_argument("--picture", type=Path, help="a PNG of the energy about the joins")
    parser.add_argument("--json", type=Path, help="all figures")
    options = parser.parse_args()
    try:
        run(options)
    except (CorpusError, ModelError, ModelUnavailable, OSError, ValueError) as error:
        parser.exit(2, f"seams: {error}\n")


def run(options: argparse.Namespace) -> None:
    """Measure and print."""
    if options.seeds < 2:
        raise ValueError(f"--seeds {options.seeds}: an interval takes at least 2")
    corpus = Corpus.open(options.corpus)
    recipe = corpus.active_recipe()
    setup, features = setup_of(corpus, recipe), recipe.features
    cache = FeatureCache(corpus.path / FOLDER / cache_name(recipe, cache_spec(recipe, setup)))
    visual, sync, audio, text = (spec(name, setup, features.precision) for name in features.encoders)
    network = load_base(options.base)
    check_fit(network, visual, sync, audio, text)
    systems = {BASE: None} | {str(path): load_adapters(path, network) for path in options.adapters}
    wanted = [laid_out(cache, cut, plan_clips(seconds, audio, visual, sync)) for cut, seconds in chosen(cache, options)]
    vocoder = open_vocoder(features.audio, setup, options.device)
    ear = Ear(vocoder.sample_rate, SfxEmbedding(options.device))
    joins, seeds = sum(len(one.joins) for one in wanted), options.seeds
    print(f"{len(wanted)} cuts, {joins} joins, {seeds} seeds, {options.steps} steps, guidance {options.guidance:g}")
    print(f"base {options.base} ({base_hash(network)}), {features.audio} at {vocoder.sample_rate} Hz, {options.device}")
    reference = Made({}, Moments(DIMENSION))
    for one in wanted:
        ear.hear(one, real_sound(cache, one, vocoder), reference)
    made: dict[str, list[Made]] = {}
    for name, adapters in systems.items():
        sampler = ClipSampler(network, adapters, options.device, options.precision)
        made[name] = []
        for number in range(options.seeds):
            began = time.perf_counter()
            made[name].append(Made({}, Moments(DIMENSION)))
            for place, one in enumerate(wanted):
                seed = SEEDS_APART * number + CUTS_APART * place
                sampling = Sampling(options.steps, options.guidance, seed, batch_size=options.batch_size)
                sound = np.concatenate(
                    list(audio_of(sampler, one.looked, one.looked.text(), one.plan, vocoder, sampling))
                )
                ear.hear(one, sound, made[name][-1])
            print(f"{name}, seed {number}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    figures = shown(reference, made)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.picture:
        every = {REFERENCE: [reference], **made}
        about = {name: np.concatenate([one.about for one in seeds]) for name, seeds in every.items()}
        draw(options.picture, {Path(name).parent.name or name: found for name, found in about.items()})


def chosen(cache: FeatureCache, options: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Ids and seconds of the cuts to measure. Raises ValueError where there are none, or one cannot be."""
    rows = {
        row["cut_id"]: row for row in cache.cuts.select(["cut_id", "start", "end", "split", "has_video"]).to_pylist()
    }
    seconds = {cut: row["end"] - row["start"] for cut, row in rows.items()}
    if options.cuts:
        for cut in options.cuts:
            if cut not in rows:
                raise ValueError(f"cut {cut}: not in {cache.path}")
            if not rows[cut]["has_video"] or seconds[cut] <= CLIP_SECONDS:
                raise ValueError(
                    f"cut {cut}: lasts {seconds[cut]:g} s, has_video {rows[cut]['has_video']}: no joins to make"
                )
    found = options.cuts or [
        cut
        for cut, row in rows.items()
        if row["split"] == options.split and row["has_video"] and seconds[cut] > CLIP_SECONDS
    ]
    if not found:
        raise ValueError(f"{cache.path}: no cut of the split {options.split} with video and more than {CLIP_SECONDS} s")
    yield from ((cut, seconds[cut]) for cut in found)


def laid_out(cache: FeatureCache, cut: str, plan: ClipPlan) -> Wanted:
    """Raises ValueError where the cache has other clips than the plan asks for."""
    looked = CachedCut(cache, cut)
    if not looked.holds(plan):
        raise ValueError(f"cut {cut}: {cache.path} has other clips of it than a clip every {CLIP_SECONDS} s")
    joins = [at for at in clip_joins(plan.seconds) if at + WINDOW_SECONDS <= plan.seconds]
    return Wanted(cut, looked, plan, joins, control_times(plan.seconds, joins, CONTROLS * len(joins)))


def real_sound(cache: FeatureCache, one: Wanted, vocoder: Vocoder) -> Float:
    """The codec's round trip of what was recorded, joined like what is generated."""
    latents = cache.take(cache.clips_of(one.cut_id), ["mean"])["mean"].float()
    clips = ((clip, vocoder(latents[clip.number]).numpy()) for clip in one.plan.clips)
    return np.concatenate(list(joined(clips, one.plan)))


class Ear:
    """Measures sounds."""

    def __init__(self, sample_rate: int, embedding: SfxEmbedding) -> None:
        self.rate, self._embedding = sample_rate, embedding

    def hear(self, one: Wanted, sound: Float, into: Made) -> None:
        """Measure the sound of a cut, and note it in `into`."""
        seams, control = (SeamMetrics.of(energies(sound, self.rate, times)) for times in (one.joins, one.others))
        lufs = loudness(sound, self.rate)
        assert lufs is not None
        into.heard[one.cut_id] = Heard(seams, control, lufs, self._about(sound, one.joins))
        into.moments.push(self._embedding.embed(sound, self.rate))

    def _about(self, sound: Float, joins: Sequence[float]) -> Float:
        """(joins, frames), of the joins that have so much sound on both sides."""
        size, frames = to_ticks(WINDOW_SECONDS, self.rate), round(ABOUT_SECONDS / WINDOW_SECONDS)
        at = [to_ticks(join, self.rate) for join in joins]
        parts = [
            sound[k - frames * size : k + frames * size] for k in at if frames * size <= k <= len(sound) - frames * size
        ]
        return np.asarray(np.square(np.reshape(parts, (-1, 2 * frames, size)).astype(np.float64)).mean(axis=2))


def shown(reference: Made, made: Mapping[str, Sequence[Made]]) -> dict[str, Any]:
    """Print all figures, and give them back."""
    figures: dict[str, Any] = {REFERENCE: {what: reference.mean(what) for what in ("rel", "log", "control")}}
    print(f"\n{'':28}{'rel':>9}{'log':>9}{'control':>9}{'LU':>8}{'FD':>9}")
    ours = figures[REFERENCE]
    print(f"{REFERENCE:28}{ours['rel']:9.4f}{ours['log']:9.4f}{ours['control']:9.4f}")
    for name, seeds in made.items():
        rows = [row_of(one, reference) for one in seeds]
        figures[name] = rows
        label = name if len(name) <= 18 else f"…{name[-17:]}"
        for number, row in enumerate(rows):
            print(f"{label:19} seed {number:<3}{numbers(row)}")
        means = {what: interval([row[what] for row in rows]) for what in rows[0]}
        print(f"{label:19} mean    {numbers({what: mean for what, (mean, _) in means.items()})}")
        print(f"{'':19} 95 % ±  {numbers({what: half for what, (_, half) in means.items()})}")
    for name in made:
        if name != BASE:
            figures[f"{name} against {BASE}"] = compared(name, made[BASE], made[name], figures)
    return figures


def row_of(one: Made, reference: Made) -> dict[str, float]:
    """The figures of one seed."""
    louder = np.mean([heard.lufs - reference.heard[cut].lufs for cut, heard in one.heard.items()])
    distance = frechet_distance(one.moments, reference.moments)
    return {what: one.mean(what) for what in ("rel", "log", "control")} | {"LU": float(louder), "FD": distance}


def numbers(row: Mapping[str, float]) -> str:
    return f"{row['rel']:9.4f}{row['log']:9.4f}{row['control']:9.4f}{row['LU']:+8.2f}{row['FD']:9.2f}"


def compared(name: str, base: Sequence[Made], adapted: Sequence[Made], figures: Mapping[str, Any]) -> dict[str, Any]:
    """Adapters against the base, seed by seed, over the cuts that stay as loud."""
    pairs: dict[str, list[tuple[float, float]]] = {"rel": [], "log": [], "control": []}
    levels, counted = [], 0
    for one, other in zip(base, adapted, strict=True):
        louder = {cut: other.heard[cut].lufs - one.heard[cut].lufs for cut in one.heard}
        levels += list(louder.values())
        cuts = [cut for cut, by in louder.items() if abs(by) <= LIMIT_LU]
        counted += len(cuts)
        if cuts:
            before, after = (Made({cut: made.heard[cut] for cut in cuts}, made.moments) for made in (one, other))
            for what, values in pairs.items():
                values.append((before.mean(what), after.mean(what)))
    print(f"\n{name} against the base, the same noise:")
    print(f"  loudness {np.mean(levels):+.2f} dB, {min(levels):+.2f} to {max(levels):+.2f}")
    print(f"  {counted} of {len(levels)} sounds within {LIMIT_LU:g} dB are counted, of {len(pairs['rel'])} seeds")
    for what, values in pairs.items():
        told(f"  {what}", [before for before, _ in values], [after for _, after in values])
    for label, what in (("rel of all sounds", "rel"), ("control of all sounds", "control"), ("FD of all sounds", "FD")):
        told(f"  {label}", *([row[what] for row in figures[system]] for system in (BASE, name)))
    return {"loudness": levels, "counted": counted, "pairs": pairs}


def told(what: str, before: Sequence[float], after: Sequence[float]) -> None:
    """Print a line: both means, and the mean difference of the pairs with its interval."""
    if not before:
        return
    change, half = interval([b - a for a, b in zip(before, after, strict=True)])
    first, second = float(np.mean(before)), float(np.mean(after))
    share = f"{100 * change / first:+.1f} % ± {100 * half / first:.1f}"
    sure = "" if half < abs(change) else "; no difference shown"
    print(f"{what}: {first:.4f} to {second:.4f}, {change:+.4f} ± {half:.4f} ({share}){sure}")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the 95 % interval."""
    if len(values) < 2:
        return (float(np.mean(values)) if values else math.nan), math.nan
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(np.mean(values)), float(student.ppf(0.975, len(values) - 1)) * spread


if __name__ == "__main__":
    torch.set_num_threads(1)  # several wait for each other as soon as anything else runs: ten times as long
    main()

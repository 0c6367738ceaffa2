"""Sound for a film of any length: looked at once, made clip by clip, joined and written as it comes."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from curation.detectors.score_store import setup_of
from curation.media import SOUND_CODECS, MediaError, check_sound_onto, sound_onto
from curation.runner.progress import Progress, ProgressCallback
from features.cache import FeatureCache
from features.cache.of_corpus import FOLDER
from features.encoders import EncoderSpec, ModelSetup, Precision, open_encoder, spec
from features.extraction.encode import CPU_WINDOWS, GPU_WINDOWS
from features.extraction.extract import agreed_recipe, cache_name, cache_spec
from manifests.recipe import Recipe
from manifests.store import Corpus

from ..adapters import load_adapters
from ..mmaudio import load_base
from .cached import CachedCut
from .clips import ClipSampler, Sampling, check_fit
from .plan import CannotGenerate, ClipPlan, Stitch, plan_clips
from .source import VideoSource, find_video
from .stitch import joined, joined_latents
from .video_features import VideoFeatureSource, encode_video
from .vocoder import Vocoder, open_vocoder
from .wav import write_wav

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLIPS_AT_ONCE = {"cpu": 2}
OTHERWISE_AT_ONCE = 8


@dataclass(frozen=True)
class GenerationSettings:
    """How a film's sound is made: `overlap_seconds` that neighbouring clips share, except in hard joins; `sampling`.

    `precision`: what the base computes in.
    """

    stitch: Stitch = "hard"
    overlap_seconds: float = 1.0
    sampling: Sampling = field(default_factory=Sampling)
    precision: Precision = "float32"


@dataclass(frozen=True)
class Generated:
    """What was made: `clips` for `seconds` of film, which meet at `joins` seconds of the sound.

    `cached`: its features came out of the corpus's cache.
    """

    out: Path
    film: VideoSource
    seconds: float
    clips: int
    joins: tuple[float, ...]
    sample_rate: int
    cached: bool


def generate(
    corpus: Corpus,
    what: str,
    out: Path,
    *,
    base: Path,
    adapters: Path | None = None,
    prompt: str | None = None,
    recipe: Recipe | None = None,
    settings: GenerationSettings | None = None,
    device: str = "cpu",
    on_progress: ProgressCallback | None = None,
) -> Generated:
    """Make the sound of the film `what`, a file or a cut's id, and write it to `out`.

    `out`: .wav for the sound alone, else the film with it (`sound_onto`). `corpus` names the encoders and holds the
    codec's fit; `recipe` only where its encoders are other than the corpus's own. Without `prompt` a cut's caption is
    taken, if its features are cached, else none. Memory does not grow with the film.

    Raises CannotGenerate, ModelError, ModelUnavailable or CorpusError, in one line, as good as always before anything
    long is begun.
    """
    settings = settings or GenerationSettings()
    recipe = agreed_recipe(corpus, recipe)
    setup, features = setup_of(corpus, recipe), recipe.features
    film = find_video(corpus, what)
    _check_out(film, out)
    specs: list[EncoderSpec] = [spec(name, setup, features.precision) for name in features.encoders]
    visual, sync, audio, text = specs
    try:
        plan = plan_clips(film.seconds, audio, visual, sync, settings.stitch, settings.overlap_seconds)
    except CannotGenerate as error:
        raise CannotGenerate(f"{film.name}: {error}") from error
    network = load_base(base)
    check_fit(network, visual, sync, audio, text)
    sampler = ClipSampler(
        network, None if adapters is None else load_adapters(adapters, network), device, settings.precision
    )
    vocoder = open_vocoder(features.audio, setup, device)
    kept = _kept(corpus, recipe, setup, film)
    with ExitStack() as stack:
        if kept is not None and kept.holds(plan):
            looked: VideoFeatureSource = kept
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lpse-")))
            looked = _look(film, plan, recipe, setup, device, folder, bool(sampler.needs), on_progress)
        said = _text(prompt, kept, recipe, setup, device)
        told = _described("sample", plan, film, on_progress)
        sound = sound_of(sampler, looked, said, plan, vocoder, settings.sampling, told)
        _write(out, film, sound, plan, vocoder.sample_rate)
    return Generated(out, film, plan.seconds, len(plan.clips), plan.joins, vocoder.sample_rate, looked is kept)


def sound_of(
    sampler: ClipSampler,
    looked: VideoFeatureSource,
    text: Tensor | None,
    plan: ClipPlan,
    vocoder: Vocoder,
    sampling: Sampling,
    tell: Callable[[float], None] = lambda seconds: None,
) -> Iterator[NDArray[np.float32]]:
    """The sound of a film in pieces (n,) of a clip at most, `plan.samples` in all, made as they are asked for.

    `tell` hears the seconds of the film whose clips are sampled. Raises ModelError where the network gives no numbers.
    """
    clips = sampler.latents(looked, text, plan, sampling, tell)
    if plan.stitch == "latent":
        clips = joined_latents(clips, plan)
    waveforms = ((clip, vocoder(latents).numpy()) for clip, latents in clips)
    yield from joined(waveforms, plan, vocoder.law if plan.stitch == "latent" else "power")


def clips_at_once(device: str) -> int:
    """How many clips are sampled in a batch by default."""
    return CLIPS_AT_ONCE.get(torch.device(device).type, OTHERWISE_AT_ONCE)


def _check_out(film: VideoSource, out: Path) -> None:
    """Raises what is wrong with the place and the name before hours of work are spent on it."""
    if not out.absolute().parent.is_dir():
        raise CannotGenerate(f"{out}: there is no folder {out.absolute().parent}")
    if out.exists() and out.samefile(film.path):
        raise CannotGenerate(f"{out}: is the film itself")
    if out.suffix.lower() == ".wav":
        return
    if out.suffix.lower() not in SOUND_CODECS:
        raise CannotGenerate(
            f"{out}: write .wav for the sound alone, or {', '.join(SOUND_CODECS)} for the film with it"
        )
    try:
        check_sound_onto(film.path, out)
    except ValueError as error:
        raise CannotGenerate(str(error)) from error
    except MediaError as error:
        raise CannotGenerate(f"{film.path}: {error.detail}") from error


def _kept(corpus: Corpus, recipe: Recipe, setup: ModelSetup, film: VideoSource) -> CachedCut | None:
    """The cut's features, if the corpus's cache shows them."""
    if film.cut_id is None:
        return None
    folder = corpus.path / FOLDER / cache_name(recipe, cache_spec(recipe, setup))
    if not (folder / "index.parquet").exists():
        return None
    cache = FeatureCache(folder)
    return CachedCut(cache, film.cut_id) if film.cut_id in cache.cuts["cut_id"].to_pylist() else None


def _text(prompt: str | None, kept: CachedCut | None, recipe: Recipe, setup: ModelSetup, device: str) -> Tensor | None:
    """The vectors of the caption, (L, D); None without one."""
    if prompt is None:
        return None if kept is None else kept.text()
    encoder = open_encoder(recipe.features.text, setup, device, recipe.features.precision)
    vectors: Tensor = encoder.encode(prompt).float().cpu()
    return vectors


def _look(
    film: VideoSource,
    plan: ClipPlan,
    recipe: Recipe,
    setup: ModelSetup,
    device: str,
    folder: Path,
    whole: bool,
    on_progress: ProgressCallback | None,
) -> VideoFeatureSource:
    features = recipe.features
    encoders = {
        stream: open_encoder(name, setup, device, features.precision)
        for stream, name in (("visual", features.visual), ("sync", features.sync))
    }
    windows = CPU_WINDOWS if torch.device(device).type == "cpu" else GPU_WINDOWS
    tell = _described("look", plan, film, on_progress)
    try:
        return encode_video(film.path, film.start, plan, encoders, folder, windows=windows, whole=whole, tell=tell)
    except MediaError as error:
        raise CannotGenerate(f"{film.name}: {error.detail}") from error
    finally:
        encoders.clear()
        gc.collect()  # the encoders' memory is wanted for sampling


def _described(
    phase: str, plan: ClipPlan, film: VideoSource, on_progress: ProgressCallback | None
) -> Callable[[float], None]:
    def tell(seconds: float) -> None:
        if on_progress is not None:
            on_progress(
                Progress(phase, min(seconds, plan.seconds), plan.seconds, "seconds", len(plan.clips), (film.name,))
            )

    return tell


def _write(
    out: Path, film: VideoSource, sound: Iterator[NDArray[np.float32]], plan: ClipPlan, sample_rate: int
) -> None:
    if out.suffix.lower() == ".wav":
        write_wav(out, sound, sample_rate, plan.samples)
        return
    try:
        sound_onto(film.path, sound, sample_rate, out, start=film.start, end=film.end)
    except MediaError as error:
        raise CannotGenerate(f"{film.path}: {error.detail}") from error

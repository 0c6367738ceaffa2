"""Generate audio for a video of any length: encoded once, sampled clip by clip, joined and written as it comes."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from curation.detectors.score_store import setup_of
from curation.media import SOUND_CODECS, MediaError, check_sound_onto, sound_onto
from curation.runner.progress import Progress, ProgressCallback
from features.cache import FeatureCache
from features.cache.of_corpus import FOLDER, cache_name, cache_spec
from features.encoders import ModelSetup, Precision, open_text_encoder, open_video_encoder, spec
from features.extraction.extract import agreed_recipe
from features.extraction.video import windows_on
from manifests.recipe import Recipe
from manifests.store import Corpus

from ..adapters import load_adapters
from ..mmaudio import load_base
from .cached import CachedCut
from .clips import ClipSampler, Sampling, check_fit
from .plan import CannotGenerate, ClipPlan, Stitch, plan_clips
from .source import VideoSource, find_video
from .stitch import joined, joined_latents
from .video_features import EncodedVideo, VideoFeatureSource, encoded
from .vocoder import Vocoder, open_vocoder
from .wav import write_wav

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class GenerationSettings:
    """Settings of a generation: `overlap_seconds` that neighbouring clips share, except in hard joins; `sampling`.

    `precision` of the base.
    """

    stitch: Stitch = "hard"
    overlap_seconds: float = 1.0
    sampling: Sampling = field(default_factory=Sampling)
    precision: Precision = "float32"


@dataclass(frozen=True)
class Generated:
    """The result: audio for `seconds` of `video` in `clips` clips, which meet at `joins` (seconds).

    `cached`: the features came from the corpus's cache. `subtitles_left_out`: subtitle tracks of the video that the
    new file does not have.
    """

    out: Path
    video: VideoSource
    seconds: float
    clips: int
    joins: tuple[float, ...]
    sample_rate: int
    cached: bool
    subtitles_left_out: int = 0


def generate(
    corpus: Corpus,
    source: str | Path,
    out: Path | str,
    *,
    base: Path | str,
    adapters: Path | str | None = None,
    prompt: str | None = None,
    recipe: Recipe | None = None,
    settings: GenerationSettings | None = None,
    device: str = "cpu",
    on_progress: ProgressCallback | None = None,
) -> Generated:
    """Generate audio for the video `source`, a file or the id of a cut, and write it to `out`.

    `out`: .wav for the audio alone, else a video file with the audio (`sound_onto`). The corpus names the encoders and
    has the codec's fit; give `recipe` only if its encoders differ from those of the active recipe. Without `prompt` a
    cut whose features are cached has its caption, any other video none. Memory does not grow with the video.

    Raises CannotGenerate, ModelError, ModelUnavailable or CorpusError with a message of one line, nearly always before
    the encoding begins.
    """
    settings, out = settings or GenerationSettings(), Path(out)
    recipe = agreed_recipe(corpus, recipe)
    setup, features = setup_of(corpus, recipe), recipe.features
    video = find_video(corpus, source)
    subtitles = _check_out(video, out)
    visual, sync, audio, text = (spec(name, setup, features.precision) for name in features.encoders)
    try:
        plan = plan_clips(video.seconds, audio, visual, sync, settings.stitch, settings.overlap_seconds)
    except CannotGenerate as error:
        raise CannotGenerate(f"{video.name}: {error}") from error
    network = load_base(base)
    check_fit(network, visual, sync, audio, text)
    sampler = ClipSampler(
        network, None if adapters is None else load_adapters(adapters, network), device, settings.precision
    )
    vocoder = open_vocoder(features.audio, setup, device)
    cached = _cached(corpus, recipe, setup, video)
    with ExitStack() as stack:
        if cached is not None and cached.holds(plan):
            vectors: VideoFeatureSource = cached
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lpse-")))
            vectors = _encoded(video, plan, recipe, setup, device, folder, bool(sampler.needs), on_progress)
        caption = _text(prompt, cached, recipe, setup, device)
        on_seconds = _reporter("sample", plan, video, on_progress)
        audio_pieces = audio_of(sampler, vectors, caption, plan, vocoder, settings.sampling, on_seconds)
        _write(out, video, audio_pieces, plan, vocoder.sample_rate)
    return Generated(
        out, video, plan.seconds, len(plan.clips), plan.joins, vocoder.sample_rate, vectors is cached, subtitles
    )


def audio_of(
    sampler: ClipSampler,
    video: VideoFeatureSource,
    text: Tensor | None,
    plan: ClipPlan,
    vocoder: Vocoder,
    sampling: Sampling,
    on_seconds: Callable[[float], None] = lambda seconds: None,
) -> Iterator[NDArray[np.float32]]:
    """Yield the audio of a video in pieces (n,) of at most a clip, `plan.samples` in all.

    `on_seconds` is called with the seconds of the video that are sampled. Raises ModelError for NaN or infinite
    latents.
    """
    clips = sampler.latents(video, text, plan, sampling, on_seconds)
    if plan.stitch == "latent":
        clips = joined_latents(clips, plan)
    waveforms = ((clip, vocoder(latents).numpy()) for clip, latents in clips)
    yield from joined(waveforms, plan, vocoder.fade if plan.stitch == "latent" else "power")


def _check_out(video: VideoSource, out: Path) -> int:
    """The number of subtitle tracks that will be left out.

    Raises CannotGenerate for a place or name that cannot be written, before hours of work.
    """
    if not out.absolute().parent.is_dir():
        raise CannotGenerate(f"{out}: there is no folder {out.absolute().parent}")
    if out.exists() and out.samefile(video.path):
        raise CannotGenerate(f"{out}: is the video itself")
    if out.suffix.lower() == ".wav":
        return 0
    if out.suffix.lower() not in SOUND_CODECS:
        raise CannotGenerate(
            f"{out}: write .wav for the audio alone, or {', '.join(SOUND_CODECS)} for the video with the audio"
        )
    try:
        return check_sound_onto(video.path, out)
    except ValueError as error:
        raise CannotGenerate(str(error)) from error
    except MediaError as error:
        raise CannotGenerate(f"{video.path}: {error.detail}") from error


def _cached(corpus: Corpus, recipe: Recipe, setup: ModelSetup, video: VideoSource) -> CachedCut | None:
    """The cut's features, if the corpus's cache shows them."""
    if video.cut_id is None:
        return None
    folder = corpus.path / FOLDER / cache_name(recipe, cache_spec(recipe, setup))
    if not (folder / "index.parquet").exists():
        return None
    cache = FeatureCache(folder)
    return CachedCut(cache, video.cut_id) if video.cut_id in cache.cuts["cut_id"].to_pylist() else None


def _text(
    prompt: str | None, cached: CachedCut | None, recipe: Recipe, setup: ModelSetup, device: str
) -> Tensor | None:
    """The vectors of the caption, (L, D); None without one."""
    if prompt is None:
        return None if cached is None else cached.text()
    encoder = open_text_encoder(recipe.features.text, setup, device, recipe.features.precision)
    return encoder.encode(prompt).float().cpu()


def _encoded(
    video: VideoSource,
    plan: ClipPlan,
    recipe: Recipe,
    setup: ModelSetup,
    device: str,
    folder: Path,
    whole: bool,
    on_progress: ProgressCallback | None,
) -> EncodedVideo:
    features = recipe.features
    encoders = {
        stream: open_video_encoder(name, setup, device, features.precision)
        for stream, name in (("visual", features.visual), ("sync", features.sync))
    }
    on_seconds = _reporter("encode", plan, video, on_progress)
    try:
        return encoded(
            video.path,
            video.start,
            plan,
            encoders,
            folder,
            windows=windows_on(device),
            dtype=features.dtype,
            whole=whole,
            on_share=lambda share: on_seconds(share * plan.seconds),
        )
    except MediaError as error:
        raise CannotGenerate(f"{video.name}: {error.detail}") from error
    finally:
        encoders.clear()
        gc.collect()  # the encoders' memory is wanted for sampling


def _reporter(
    phase: str, plan: ClipPlan, video: VideoSource, on_progress: ProgressCallback | None
) -> Callable[[float], None]:
    """A function of the seconds done that reports the progress of a phase."""

    def report(seconds: float) -> None:
        if on_progress is not None:
            done = min(seconds, plan.seconds)
            on_progress(Progress(phase, done, plan.seconds, "seconds", len(plan.clips), (video.name,)))

    return report


def _write(
    out: Path, video: VideoSource, audio: Iterator[NDArray[np.float32]], plan: ClipPlan, sample_rate: int
) -> None:
    if out.suffix.lower() == ".wav":
        write_wav(out, audio, sample_rate, plan.samples)
        return
    try:
        sound_onto(video.path, audio, sample_rate, out, start=video.start, end=video.end)
    except MediaError as error:
        raise CannotGenerate(f"{video.path}: {error.detail}") from error

"""Generation from end to end: real films, the packaged encoders, small networks of the real kind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor
from typer.testing import CliRunner

from app.commands.generate import generate as generate_command
from curation.detectors.score_store import setup_of
from curation.media import frames_reaching, mono_span, probe, write_media
from curation.runner.progress import Progress
from features.cache import CacheSpec, FeatureCache, StreamSpec
from features.cache.cut import checked
from features.cache.of_corpus import caches
from features.cache.spec import DType
from features.encoders import (
    EncoderSpec,
    FrameLayout,
    ModelUnavailable,
    VideoEncoder,
    open_audio_encoder,
    open_video_encoder,
    spec,
)
from features.encoders.frames import resized
from features.extraction.encode import CutSource, Encoders, features_of
from features.extraction.extract import extract
from features.extraction.video import windows_on
from manifests.generated import generated_sounds
from manifests.recipe import load_recipe
from manifests.records import Cut
from manifests.store import Corpus
from manifests.time import Segment
from model.adapters import AdapterConfig, Adapters, adapter_inputs, load_adapters, save_adapters, video_features
from model.errors import ModelError
from model.generation import (
    STITCHES,
    CannotGenerate,
    ClipPlan,
    Generated,
    GenerationSettings,
    Sampling,
    Stitch,
    audio_of,
    generate,
    open_vocoder,
    plan_clips,
)
from model.generation.cached import CachedCut
from model.generation.clips import ClipSampler
from model.generation.video_features import encoded
from model.mmaudio import MMAudio, base_hash, build_base, load_base, save_base
from model.training.batching import StepPlan
from model.training.data import TrainingClips
from tests.support.small_corpus import corpus_of, film

CUT = (1.0, 10.2)
RATE = 16_000


@dataclass(frozen=True)
class Studio:
    """A corpus with a cut in its cache, a base for its encoders, adapters of it that say something."""

    corpus: Corpus
    films: Path
    cut: str
    base: Path
    adapters: Path

    def make(self, what: str, out: Path, adapters: bool | Path = True, **changed: Any) -> Generated:
        sampling = Sampling(**{"steps": 2, **changed.pop("sampling", {})})
        settings = GenerationSettings(sampling=sampling, **changed.pop("settings", {}))
        chosen = self.adapters if adapters is True else adapters or None
        return generate(self.corpus, what, out, base=self.base, adapters=chosen, settings=settings, **changed)

    def wav(self, what: str, out: Path, **changed: Any) -> NDArray[np.float32]:
        self.make(what, out, **changed)
        return np.asarray(soundfile.read(out, dtype="float32")[0])


def _stirred(network: torch.nn.Module, seed: int) -> None:
    """What begins at zero does not stay there: else the network says nothing."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in network.parameters():
            if values.requires_grad and not values.any():
                values.copy_(0.1 * torch.randn(values.shape, generator=draw))


def _base(specs: Mapping[str, EncoderSpec], **changed: Any) -> MMAudio:
    sizes = {
        "hidden": 64, "heads": 1, "depth": 2, "fused": 1,
        "latent_length": specs["audio"].length, "latent_channels": specs["audio"].dimension,
        "clip_length": specs["visual"].length, "clip_dim": specs["visual"].dimension,
        "sync_length": specs["sync"].length, "sync_dim": specs["sync"].dimension,
        "text_length": specs["text"].length, "text_dim": specs["text"].dimension,
    }  # fmt: skip
    torch.manual_seed(0)
    network = build_base("tiny", **{**sizes, **changed})
    _stirred(network, 1)
    return network


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("studio")
    film(folder / "films" / "film.mp4", 17, seed=1)
    film(folder / "films" / "short.mp4", 2.0, seed=2)
    corpus = corpus_of(folder / "corpus", folder / "films", {"film.mp4": [CUT]})
    extract(corpus, workers=1)
    network = _base(_specs(corpus))
    save_base(network, folder / "base.safetensors")
    adapters = Adapters(network.config, AdapterConfig())
    _stirred(adapters, 2)
    save_adapters(adapters, folder / "adapters.safetensors", base_hash(network), {})
    (cut,) = (row.cut_id for row in corpus.rows(Cut))
    return Studio(corpus, folder / "films", cut, folder / "base.safetensors", folder / "adapters.safetensors")


def _specs(corpus: Corpus) -> dict[str, EncoderSpec]:
    recipe = load_recipe("packaged")
    named = [spec(name, setup_of(corpus, recipe)) for name in recipe.features.encoders]
    return {str(one.stream): one for one in named}


class Mosaic:
    """A picture encoder that needs no weights: windows of pictures as the means of their quarters, and of their change.

    Cheap, so that tests may look at many clips.
    """

    def __init__(self, stream: str, pictures: FrameLayout, length: int) -> None:
        self.spec = EncoderSpec("mosaic", "1", stream, None, 12, length, pictures)  # type: ignore[arg-type]
        self._pictures = pictures

    def encode(self, frames: Tensor) -> Tensor:
        """uint8 (F, 3, side, side) -> (T, 12)."""
        quarters = torch.nn.functional.adaptive_avg_pool2d(frames.float() / 255, 2).flatten(1)
        given = self._pictures
        windows = given.length(len(frames)) // given.vectors
        firsts = torch.arange(windows)[:, None] * given.stride + torch.arange(given.vectors) * (
            given.window // given.vectors
        )
        return quarters[firsts.flatten()]


def mosaics() -> dict[str, VideoEncoder]:
    visual, sync = FrameLayout(8, 16, "stretch"), FrameLayout(25, 16, "stretch", 16, 8, 8)
    return {"visual": Mosaic("visual", visual, 64), "sync": Mosaic("sync", sync, 192)}


def a_plan(studio: Studio, seconds: float, stitch: Stitch = "hard", overlap: float = 1.0) -> ClipPlan:
    specs, seen = _specs(studio.corpus), mosaics()
    return plan_clips(seconds, specs["audio"], seen["visual"].spec, seen["sync"].spec, stitch, overlap)


def alone(path: Path, encoder: VideoEncoder, start: float, seconds: float) -> Tensor:
    """What the encoder gives of these seconds of the file and no others."""
    pictures = encoder.spec.frames
    assert pictures is not None
    times = [start + k / pictures.fps for k in range(int(seconds * pictures.fps + 1e-6))]
    shown = [image for indices, image in frames_reaching(path, times) for _ in indices]
    return encoder.encode(torch.stack([resized(image, pictures) for image in shown]))


# --- looking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stitch", STITCHES)
def test_a_clip_is_told_of_its_own_seconds(studio: Studio, stitch: Stitch, tmp_path: Path) -> None:
    """Whatever was on the 8-s grid, shifted back, or between: as from a decode for this clip alone."""
    plan, start = a_plan(studio, 16.5, stitch, 1.3), 0.28
    path, encoders = studio.films / "film.mp4", mosaics()
    seen = encoded(path, start, plan, encoders, tmp_path, windows=3)
    assert len(plan.clips) >= 3
    for clip in plan.clips:
        for found, encoder in zip(seen.local([clip.number]), encoders.values(), strict=True):
            assert torch.equal(found[0], alone(path, encoder, start + clip.start, 8.0))
    visual, sync = seen.local([1, 0])
    assert (visual.shape, sync.shape) == ((2, 64, 12), (2, 192, 12))
    assert torch.equal(visual[1], seen.local([0])[0][0])


@pytest.mark.parametrize(("seconds", "visual", "sync"), [(0.64, 5, 8), (3.3, 26, 72), (8.0, 64, 192)])
def test_of_a_one_clip_film_the_whole_is_the_clip(
    studio: Studio, seconds: float, visual: int, sync: int, tmp_path: Path
) -> None:
    seen = encoded(studio.films / "film.mp4", 0.0, a_plan(studio, seconds), mosaics(), tmp_path, windows=8)
    whole = video_features(seen, torch.zeros(77, 384), frozenset({"means", "whole", "clips"}))
    own_visual, own_sync = seen.local([0])
    assert (own_visual.shape, own_sync.shape) == ((1, visual, 12), (1, sync, 12))
    assert whole.visual_all is not None and whole.sync_all is not None and whole.visual_mean is not None
    assert whole.sync_mean is not None and whole.clips_sync is not None
    assert torch.equal(whole.visual_all, own_visual[0]) and torch.equal(whole.sync_all, own_sync[0])
    assert torch.equal(whole.sync_mean, own_sync[0]) and torch.equal(whole.clips_sync, own_sync)
    assert torch.allclose(whole.visual_mean, own_visual[0].mean(0))


@pytest.mark.parametrize("stitch", STITCHES)
def test_the_whole_is_that_of_extraction_however_clips_are_joined(
    studio: Studio, stitch: Stitch, tmp_path: Path
) -> None:
    """Means over all pictures, and over the clips of the 8-s grid with the last one shifted back."""
    path, encoders, seconds = studio.films / "film.mp4", mosaics(), 11.7
    seen = encoded(path, 0.0, a_plan(studio, seconds, stitch, 2.0), encoders, tmp_path, windows=8)
    whole = video_features(seen, torch.zeros(77, 384), frozenset({"means", "whole", "clips"}))
    all_visual, all_sync = (alone(path, encoder, 0.0, seconds) for encoder in encoders.values())
    clips = torch.stack([alone(path, encoders["sync"], start, 8.0) for start in (0.0, 3.7)])
    assert whole.visual_all is not None and whole.visual_mean is not None and whole.sync_mean is not None
    assert whole.sync_all is not None and whole.clips_sync is not None
    assert torch.equal(whole.visual_all, all_visual) and torch.equal(whole.sync_all, all_sync)
    assert torch.equal(whole.clips_sync, clips)
    torch.testing.assert_close(whole.visual_mean, all_visual.mean(0))
    torch.testing.assert_close(whole.sync_mean, clips.mean(0))
    only = video_features(seen, torch.zeros(77, 384), frozenset({"means"}))
    assert only.visual_all is only.sync_all is only.clips_sync is None


def test_without_adapters_overlapping_clips_are_all_that_is_looked_at(studio: Studio, tmp_path: Path) -> None:
    plan = a_plan(studio, 12.9, "latent", 2.0)
    seen = encoded(studio.films / "film.mp4", 0.0, plan, mosaics(), tmp_path, windows=8, whole=False)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 * 13 * (8 + 25) * 12 * 4
    assert seen.local([0])[0].shape == (1, 64, 12)
    with pytest.raises(ValueError, match="not as a whole"):
        video_features(seen, torch.zeros(77, 384), frozenset({"means"}))


def test_an_encoder_that_gives_no_numbers_is_named(studio: Studio, tmp_path: Path) -> None:
    class Broken(Mosaic):
        def encode(self, frames: Tensor) -> Tensor:
            return super().encode(frames) * torch.nan

    broken = Broken("sync", FrameLayout(25, 16, "stretch", 16, 8, 8), 192)
    with pytest.raises(ModelError, match="sync: the encoder gave NaN or infinite values"):
        encoded(studio.films / "film.mp4", 0.0, a_plan(studio, 9.0), {**mosaics(), "sync": broken}, tmp_path, windows=8)


def test_training_and_generation_see_the_same_bits(studio: Studio, tmp_path: Path) -> None:
    """A cut in the cache, as the trainer's batch has it, beside the same cut encoded from its media by generation."""
    recipe, setup = load_recipe("packaged"), setup_of(studio.corpus, load_recipe("packaged"))
    specs, cache = _specs(studio.corpus), FeatureCache.of(studio.corpus)
    plan = plan_clips(CUT[1] - CUT[0], specs["audio"], specs["visual"], specs["sync"])
    encoders = {name: open_video_encoder(getattr(recipe.features, name), setup) for name in ("visual", "sync")}
    kind, windows = recipe.features.dtype, windows_on("cpu")
    video = encoded(studio.films / "film.mp4", CUT[0], plan, encoders, tmp_path, windows=windows, dtype=kind)
    cut = CachedCut(cache, studio.cut)
    assert cut.holds(plan) and plan.clips[1].start == pytest.approx(1.2)  # the last clip is off the 8-s grid
    for config in (AdapterConfig(), AdapterConfig(sync_pool="window", global_pool="attn")):
        clips = TrainingClips(cache, config, version=2, null=0.0, seed=0)
        batch = clips[StepPlan(0, 0, tuple(cache.clips_of(0)), (0.5, 0.5))]
        visual, sync = video.local([0, 1])
        assert torch.equal(visual, batch.clip.float()) and torch.equal(sync, batch.sync.float())
        starts, text = [clip.start for clip in plan.clips], cut.text()
        for source in (video, cut):
            given = adapter_inputs(config, video_features(source, text, config.needs), starts, 192)
            assert batch.inputs is not None
            for name, values in vars(given).items():
                expected = getattr(batch.inputs, name)
                assert values is expected is None or torch.equal(values, expected), name
    needs = frozenset({"means", "whole", "clips"})
    ours, theirs = video_features(video, cut.text(), needs), video_features(cut, cut.text(), needs)
    for name, values in vars(ours).items():
        assert torch.equal(values, getattr(theirs, name)), name


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(("start", "seconds"), [(0.28, 16.5), (0.133, 16.0), (0.7, 8.001)])
def test_extraction_and_generation_encode_alike(
    studio: Studio, start: float, seconds: float, dtype: DType, tmp_path: Path
) -> None:
    """Wherever a cut begins and however long it is: clips, the last one off the grid, wholes and means."""
    path, encoders, end = studio.films / "film.mp4", mosaics(), round(start + seconds, 3)
    audio = open_audio_encoder("melcodec_16k", setup_of(studio.corpus, load_recipe("packaged")))
    source = CutSource("cut", "recording", path, start, end, True)
    specs = {stream: StreamSpec.of(encoder.spec) for stream, encoder in encoders.items()}
    described = CacheSpec(StreamSpec.of(audio.spec), specs["visual"], specs["sync"], dtype=dtype)
    stored = checked(described, features_of(source, Encoders(audio, encoders, 3))).arrays
    plan = plan_clips(Segment(start, end).duration, audio.spec, encoders["visual"].spec, encoders["sync"].spec)
    video = encoded(path, start, plan, encoders, tmp_path, windows=3, dtype=dtype)
    visual, sync = video.local(range(len(plan.clips)))
    whole = video_features(video, torch.zeros(1, 1), frozenset({"means", "whole", "clips"}))
    found = {"visual": visual, "sync": sync, **vars(whole)}
    assert len(plan.clips) == -(-round(seconds * 1000) // 8000)
    for name in ("visual", "sync", "visual_all", "sync_all", "visual_mean", "sync_mean"):
        assert torch.equal(found[name].float(), torch.from_numpy(stored[name]).float()), name
    assert whole.clips_sync is not None and torch.equal(whole.clips_sync, sync)


# --- end to end --------------------------------------------------------------------------------------------------


def test_a_cut_gets_its_sound_out_of_the_cache(studio: Studio, tmp_path: Path) -> None:
    steps: list[Progress] = []
    done = studio.make(studio.cut, tmp_path / "a.wav", on_progress=steps.append)
    assert (done.cached, done.clips, done.seconds, done.sample_rate) == (True, 2, 9.2, RATE)
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.frames, info.samplerate, info.channels) == (round(9.2 * RATE), RATE, 1)
    assert {step.phase for step in steps} == {"sample"}
    shares = [step.done for step in steps]
    assert shares == sorted(shares) and shares[-1] == steps[-1].total == 9.2


def test_the_same_seed_is_the_same_file(studio: Studio, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        studio.make(studio.cut, tmp_path / name)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.fixture(scope="module")
def latents(studio: Studio) -> Iterator[Any]:
    """`latents(adapters, **sampling)`: those of the cut's clips, from features that are in the cache."""
    (folder,) = caches(studio.corpus)
    kept = CachedCut(FeatureCache(folder), studio.cut)
    specs = _specs(studio.corpus)
    plan = plan_clips(CUT[1] - CUT[0], specs["audio"], specs["visual"], specs["sync"])

    def made(
        adapters: Adapters | None = None, text: Tensor | None = None, precision: Any = "float32", **s: Any
    ) -> Tensor:
        sampler = ClipSampler(load_base(studio.base), adapters, "cpu", precision)
        return torch.stack([x for _, x in sampler.latents(kept, text, plan, Sampling(**{"steps": 2, **s}))])

    yield made


def test_fresh_adapters_change_nothing_and_trained_ones_do(studio: Studio, latents: Any) -> None:
    network = load_base(studio.base)
    text = torch.randn(77, 384, generator=torch.Generator().manual_seed(0))
    bare = latents(None, text)
    assert torch.equal(latents(Adapters(network.config, AdapterConfig()), text), bare)
    trained = load_adapters(studio.adapters, network)
    assert (latents(trained, text) - bare).abs().max() > 1e-3
    # where nothing is said, text tells adapters nothing
    silent = latents(trained)
    assert trained.text is not None
    torch.nn.init.normal_(trained.text.linear.weight)
    assert torch.equal(latents(trained), silent)
    assert not torch.equal(latents(trained, text), silent)


@pytest.mark.parametrize("pooling", ["clip_mean", "time_mean", "window", "resample", "clip_attn"])
@pytest.mark.parametrize("kind", ["mean", "attn"])
def test_every_kind_of_adapter_is_told_what_it_needs(studio: Studio, latents: Any, pooling: Any, kind: Any) -> None:
    network = load_base(studio.base)
    adapters = Adapters(network.config, AdapterConfig(sync_pool=pooling, global_pool=kind))
    _stirred(adapters, 3)
    found = latents(adapters, torch.zeros(77, 384))
    assert torch.isfinite(found).all() and (found - latents(None, torch.zeros(77, 384))).abs().max() > 1e-4


def test_a_clip_is_the_same_in_any_batch(latents: Any, studio: Studio) -> None:
    trained = load_adapters(studio.adapters, load_base(studio.base))
    torch.testing.assert_close(latents(trained, batch_size=1), latents(trained, batch_size=2), atol=1e-4, rtol=1e-4)


def test_noise_and_guidance_reach_the_sampler(latents: Any) -> None:
    first, second = latents(shared_noise=True), latents()
    assert torch.equal(first[0], second[0]) and not torch.equal(first[1], second[1])
    for changed in ({"seed": 1}, {"guidance": 1.0}, {"steps": 3}):
        assert (latents(**changed) - second).abs().max() > 1e-3


def test_latents_are_the_codecs_whatever_the_base_computes_in(studio: Studio, latents: Any, tmp_path: Path) -> None:
    """Mean and deviation of the latents are not rounded with the network."""
    network = load_base(studio.base)
    bare = latents()
    with torch.no_grad():
        network.latent_mean.fill_(1000.1)
        network.latent_std.fill_(0.001)
    save_base(network, tmp_path / "base.safetensors")
    (folder,) = caches(studio.corpus)
    kept = CachedCut(FeatureCache(folder), studio.cut)
    specs = _specs(studio.corpus)
    plan = plan_clips(CUT[1] - CUT[0], specs["audio"], specs["visual"], specs["sync"])
    sampler = ClipSampler(load_base(tmp_path / "base.safetensors"), None, "cpu", "bfloat16")
    found = torch.stack([x for _, x in sampler.latents(kept, None, plan, Sampling(steps=2))])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, 1000.1 + 0.001 * bare, atol=1e-3, rtol=0)


@pytest.mark.parametrize("stitch", ["crossfade", "latent"])
def test_joined_sounds_are_as_long_as_the_film_and_without_a_step(
    studio: Studio, stitch: Stitch, tmp_path: Path
) -> None:
    plan = a_plan(studio, 12.9, stitch, 2.0)
    seen = encoded(studio.films / "film.mp4", 0.0, plan, mosaics(), tmp_path, windows=8)
    changed = {"clip_dim": 12, "sync_dim": 12}
    sampler = ClipSampler(_base(_specs(studio.corpus), **changed))
    vocoder = open_vocoder("melcodec_16k", setup_of(studio.corpus, load_recipe("packaged")))
    pieces = list(audio_of(sampler, seen, None, plan, vocoder, Sampling(steps=2)))
    assert len(pieces) == len(plan.clips) and sum(map(len, pieces)) == plan.samples == round(12.9 * RATE)
    sound = np.concatenate(pieces)
    assert np.isfinite(sound).all() and sound.std() > 1e-3
    joins = np.cumsum([len(piece) for piece in pieces])[:-1]
    steps = np.abs(np.diff(sound))
    assert max(steps[join - 1] for join in joins) <= np.quantile(steps, 0.999)


def test_a_film_gets_its_sound_and_keeps_its_pictures(studio: Studio, tmp_path: Path) -> None:
    """A film that no cache knows, shorter than a clip; its prompt counts."""
    path, steps = studio.films / "short.mp4", list[Progress]()
    done = studio.make(str(path), tmp_path / "out.mp4", prompt="a dog barks", on_progress=steps.append)
    assert (done.cached, done.clips, done.seconds) == (False, 1, 2.0)
    assert [step.phase for step in steps] == sorted(step.phase for step in steps)  # "encode", then "sample"
    found = probe(tmp_path / "out.mp4")
    assert found.audio is not None and found.video is not None and found.video.codec == "h264"
    assert found.duration == pytest.approx(2.0, abs=0.05)
    heard = mono_span(tmp_path / "out.mp4", 0.0, 2.0, RATE)
    sound = studio.wav(str(path), tmp_path / "out.wav", prompt="a dog barks")
    assert len(sound) == 2 * RATE
    assert np.corrcoef(heard[: len(sound)], sound[: len(heard)])[0, 1] > 0.9
    other = studio.wav(str(path), tmp_path / "other.wav", prompt="rain")
    assert np.abs(sound - other).max() > 1e-4


def test_a_cut_becomes_a_video_of_its_own(studio: Studio, tmp_path: Path) -> None:
    studio.make(studio.cut, tmp_path / "cut.mp4")
    found = probe(tmp_path / "cut.mp4")
    assert found.audio is not None and found.duration == pytest.approx(9.2, abs=0.25)
    ours = next(image for _, image in frames_reaching(tmp_path / "cut.mp4", [0.0]))
    theirs = next(image for _, image in frames_reaching(studio.films / "film.mp4", [CUT[0]]))
    assert np.array_equal(ours, theirs)


# --- bad input ---------------------------------------------------------------------------------------------------


def test_films_that_no_sound_can_be_made_for(studio: Studio, tmp_path: Path) -> None:
    film(tmp_path / "brief.mp4", 0.6)
    film(tmp_path / "sound.wav", 9, video=False)
    (tmp_path / "text.mp4").write_text("no film")
    write_media(tmp_path / "vp8.webm", frames=[np.zeros((32, 32, 3), np.uint8)] * 50, fps=25, video_codec="libvpx")
    for what, out, words in (
        (str(tmp_path / "brief.mp4"), "a.wav", r"brief\.mp4: lasts 0\.600 s; motion needs at least 0\.64 s"),
        (str(tmp_path / "sound.wav"), "a.wav", "has no video stream to generate audio for"),
        (str(tmp_path / "text.mp4"), "a.wav", r"text\.mp4: "),
        ("0123456789abcdef", "a.wav", "neither a file nor a cut of"),
        (studio.cut, "a.flac", r"write \.wav for the audio alone, or \.mp4, \.mov, \.mkv, \.webm"),
        (studio.cut, "missing/a.wav", "there is no folder"),
        (str(tmp_path / "vp8.webm"), "a.mp4", r"\.mp4 does not support vp8 video"),
        (str(tmp_path / "vp8.webm"), "vp8.webm", "is the video itself"),
    ):
        with pytest.raises(CannotGenerate, match=words) as refused:
            studio.make(what, tmp_path / out)
        assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("a.*"))


def test_networks_that_do_not_fit_are_refused(studio: Studio, tmp_path: Path) -> None:
    other = _base(_specs(studio.corpus), depth=3)
    save_base(other, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="belong to the base"):
        replace(studio, base=tmp_path / "other.safetensors").make(studio.cut, tmp_path / "a.wav")
    for changed, words in (
        ({"sync_dim": 768}, "takes 192 x 768 sync vectors per clip, the corpus's motion gives 192 x 96"),
        ({"clip_dim": 1024}, "takes 64 x 1024 visual vectors per clip, the corpus's efficientnet gives 64 x 1280"),
        ({"latent_length": 345}, "takes 345 x 20 audio vectors per clip, the corpus's melcodec_16k gives 250 x 20"),
        ({"text_length": 10}, "takes 10 x 384 text vectors per clip, the corpus's minilm gives 77 x 384"),
    ):
        save_base(_base(_specs(studio.corpus), **changed), tmp_path / "unfit.safetensors")
        with pytest.raises(ModelError, match=words):
            replace(studio, base=tmp_path / "unfit.safetensors").make(studio.cut, tmp_path / "a.wav", adapters=False)
    (tmp_path / "noise.safetensors").write_bytes(b"noise" * 100)
    with pytest.raises((ModelError, ModelUnavailable)):
        replace(studio, base=tmp_path / "noise.safetensors").make(studio.cut, tmp_path / "a.wav", adapters=False)
    assert not (tmp_path / "a.wav").exists()


def test_a_network_that_gives_no_numbers_leaves_no_file(studio: Studio, tmp_path: Path) -> None:
    network = load_base(studio.base)
    with torch.no_grad():
        network.latent_mean.fill_(torch.nan)
    save_base(network, tmp_path / "nan.safetensors")
    for out in ("a.wav", "a.mp4"):
        with pytest.raises(ModelError, match="melcodec_16k: the network gave NaN or infinite latents"):
            replace(studio, base=tmp_path / "nan.safetensors").make(studio.cut, tmp_path / out, adapters=False)
    assert [file.name for file in tmp_path.iterdir()] == ["nan.safetensors"]


def test_settings_that_mean_nothing_are_refused() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"steps": 0}, "steps 0"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"seed": -1}, "seed -1"),
    ]
    for changed, words in refused:
        with pytest.raises(ValueError, match=words):
            Sampling(**changed)


# --- the command -------------------------------------------------------------------------------------------------


def test_the_command_makes_a_sound_and_says_where(studio: Studio, tmp_path: Path) -> None:
    command = typer.Typer(pretty_exceptions_enable=False)
    command.command()(generate_command)
    given = ["--corpus", str(studio.corpus.path), "--base", str(studio.base), "--steps", "1", "--device", "cpu"]
    out = tmp_path / "a.wav"
    done = CliRunner().invoke(
        command, [studio.cut, *given, "--adapters", str(studio.adapters), "--out", str(out), "--seed", "3"]
    )
    assert done.exit_code == 0, done.output
    assert "0:00:09 of audio in 2 clips at 16000 Hz, features from the corpus's cache" in done.output
    assert f"Written: {out}" in done.output
    sound = studio.wav(studio.cut, tmp_path / "b.wav", sampling={"seed": 3, "steps": 1, "batch_size": 2})
    assert np.array_equal(soundfile.read(out, dtype="float32")[0], sound)
    refused = CliRunner().invoke(command, ["nowhere.mp4", *given, "--out", str(tmp_path / "c.wav")])
    assert refused.exit_code == 2
    assert refused.output.splitlines() == [f"lpse: nowhere.mp4: neither a file nor a cut of {studio.corpus.path}"]


def test_the_command_keeps_a_cuts_sound_under_a_systems_name(studio: Studio, tmp_path: Path) -> None:
    command = typer.Typer(pretty_exceptions_enable=False)
    command.command()(generate_command)
    given = ["--corpus", str(studio.corpus.path), "--base", str(studio.base), "--steps", "1", "--device", "cpu"]
    done = CliRunner().invoke(command, [studio.cut, *given, "--as", "base-alone", "--seed", "5"])
    assert done.exit_code == 0, done.output
    ((kept,),) = generated_sounds(studio.corpus).values()
    assert (kept.system, kept.cut_id) == ("base-alone", studio.cut)
    # the second and last clip is shifted back, so that it ends with the cut: they meet at the end of the first
    assert kept.joins == pytest.approx((8.0,))
    sound = studio.wav(
        studio.cut, tmp_path / "b.wav", adapters=False, sampling={"seed": 5, "steps": 1, "batch_size": 2}
    )
    assert np.array_equal(soundfile.read(kept.path, dtype="float32")[0], sound)
    notes = json.loads(kept.path.with_suffix(".json").read_text())
    made_by = {"base": studio.base.name, "adapters": None, "seed": 5, "sample_rate": RATE}
    assert made_by.items() <= notes.items()
    for what, options, said in (
        (studio.cut, [], "name one of --out FILE and --as NAME"),
        (studio.cut, ["--as", "x", "--out", "x.wav"], "name one of --out FILE and --as NAME"),
        (studio.cut, ["--as", "reference"], "that is what the real sound is called"),
        ("film.mp4", ["--as", "x"], "systems are compared by cuts"),
    ):
        refused = CliRunner().invoke(command, [what, *given, *options])
        assert refused.exit_code == 2 and len(refused.output.splitlines()) == 1 and said in refused.output
    assert len(generated_sounds(studio.corpus)) == 1

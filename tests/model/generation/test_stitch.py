"""Joins: to the sample, without a seam where there is none, and as loud as what they join."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.encoders import EncoderSpec, FrameLayout
from features.encoders.latents import latent_spec
from model.generation.noise import clip_noises, noise
from model.generation.plan import STITCHES, ClipPlan, Stitch, plan_clips
from model.generation.stitch import FadeCurve, fade_gains, joined, joined_latents
from model.generation.wav import LONGEST_RIFF, wav_kind, write_wav

VISUAL = EncoderSpec("v", "1", "visual", 8, 4, 64, FrameLayout(8, 8, "stretch"))
SYNC = EncoderSpec("s", "1", "sync", 25.0, 4, 192, FrameLayout(25, 8, "stretch", 16, 8, 8))
RATE = 44_100


def laid_out(seconds: float, stitch: Stitch, overlap: float = 1.0) -> ClipPlan:
    return plan_clips(seconds, latent_spec("m", "1", "44k", 3), VISUAL, SYNC, stitch, overlap)


def cut_up(signal: NDArray[np.float32], plan: ClipPlan) -> Iterator[tuple[object, NDArray[np.float32]]]:
    """What the clips of a plan would be if all of them said the same, with the tail that is to be cut off."""
    for clip in plan.clips:
        own = signal[clip.sample : clip.sample + plan.clip_samples]
        own = np.pad(own, (0, plan.clip_samples - len(own)))
        yield clip, np.concatenate([own, np.full(480, 99.0, np.float32)])


@settings(deadline=None, max_examples=40)
@given(st.integers(640, 60_000), st.sampled_from(STITCHES), st.floats(0.01, 4.0))
def test_clips_of_one_sound_join_to_that_sound(milliseconds: int, stitch: Stitch, overlap: float) -> None:
    plan = laid_out(milliseconds / 1000, stitch, overlap)
    signal = np.random.default_rng(milliseconds).standard_normal(plan.samples).astype(np.float32)
    pieces = list(joined(cut_up(signal, plan), plan, "amplitude"))  # type: ignore[arg-type]
    assert len(pieces) == len(plan.clips)
    out = np.concatenate(pieces)
    assert len(out) == plan.samples
    if stitch == "hard":
        np.testing.assert_array_equal(out, signal)
    np.testing.assert_allclose(out, signal, atol=2e-6)


def test_a_hard_join_takes_from_the_last_clip_what_the_one_before_has_not() -> None:
    plan = laid_out(18.0, "hard")
    clips = [(clip, np.full(353_280, 1.0 + clip.number, np.float32)) for clip in plan.clips]
    out = np.concatenate(list(joined(clips, plan)))
    assert [int(np.argmax(out == value)) for value in (1.0, 2.0, 3.0)] == [0, 8 * RATE, 16 * RATE]
    assert len(out) == 18 * RATE


def test_a_crossfade_stands_where_the_earlier_clip_ends() -> None:
    plan = laid_out(18.0, "crossfade", 0.5)
    for number in range(len(plan.clips)):
        clips = [(clip, np.full(353_280, float(clip.number == number), np.float32)) for clip in plan.clips]
        out = np.concatenate(list(joined(clips, plan)))
        own = np.flatnonzero(out)
        first = plan.clips[number - 1].sample + 8 * RATE - plan.fade_samples if number else 0
        last = plan.clips[number].sample + 8 * RATE
        assert (own[0], own[-1] + 1) == (first, last)
        assert np.count_nonzero(out == 1.0) >= len(own) - 2 * plan.fade_samples


@pytest.mark.parametrize(("law", "strangers", "alike"), [("power", 1.0, 2.0), ("amplitude", 0.5, 1.0)])
def test_each_law_keeps_what_it_is_named_after(law: FadeCurve, strangers: float, alike: float) -> None:
    """In the middle of the fade: the power of two sounds that know nothing of each other, and of one and the same."""
    rising, falling = fade_gains(999, law)
    assert (rising**2 + falling**2)[499] == pytest.approx(strangers, abs=1e-6)
    assert ((rising + falling) ** 2)[499] == pytest.approx(alike, abs=1e-6)
    assert (np.diff(rising) > 0).all() and np.allclose(rising, falling[::-1], atol=1e-6)
    assert 0 < rising[0] < 0.01 and 0.99 < rising[-1] < 1


def test_an_equal_power_crossfade_of_noise_is_as_loud_as_the_noise() -> None:
    plan = laid_out(30.0, "crossfade", 4.0)
    draw = np.random.default_rng(0)
    clips = ((clip, draw.standard_normal(353_280).astype(np.float32)) for clip in plan.clips)
    out = np.concatenate(list(joined(clips, plan)))
    power = (out[: 29 * RATE].reshape(-1, RATE // 2) ** 2).mean(1)
    assert np.abs(power - 1).max() < 0.06


def test_a_clip_that_is_too_short_is_our_own_fault() -> None:
    plan = laid_out(8.0, "hard")
    with pytest.raises(ValueError, match="clip 0 has 100 samples, must have 352800"):
        list(joined([(plan.clips[0], np.zeros(100, np.float32))], plan))


def test_joining_holds_one_clip(tmp_path: Path) -> None:
    plan = laid_out(80.0, "crossfade")
    made: list[int] = []

    def clips() -> Iterator[tuple[object, NDArray[np.float32]]]:
        for clip in plan.clips:
            made.append(clip.number)
            yield clip, np.zeros(plan.clip_samples, np.float32)

    for taken, _ in enumerate(joined(clips(), plan)):  # type: ignore[arg-type]
        assert len(made) <= taken + 2


@pytest.mark.parametrize("seconds", [20.0, 13.1, 15.2])
def test_neighbours_latents_become_one(seconds: float) -> None:
    plan = laid_out(seconds, "latent", 2.0)
    torch.manual_seed(0)
    given = [(clip, torch.randn(345, 3)) for clip in plan.clips]
    made = list(joined_latents(iter(given), plan))
    assert [clip for clip, _ in made] == list(plan.clips)
    total = max(clip.latent for clip in plan.clips) + 345
    one = torch.full((total, 3), torch.nan)
    for clip, latents in made:
        there = one[clip.latent : clip.latent + 345]
        known = ~there.isnan()
        assert torch.equal(there[known], latents[known])  # whoever made an instant, it is the same
        one[clip.latent : clip.latent + 345] = latents
    for (before, first), (after, second) in pairwise(given):
        end = before.latent + 345
        fade = slice(end - plan.fade_latents, end)
        gain = (one[fade] - first[-plan.fade_latents :]) / (
            second[fade.start - after.latent : end - after.latent] - first[-plan.fade_latents :]
        )
        assert torch.allclose(gain.mean(1), torch.linspace(0, 1, plan.fade_latents + 2)[1:-1], atol=1e-3)


def test_one_latent_sequence_cut_up_is_itself_again() -> None:
    plan = laid_out(20.0, "latent", 3.0)
    one = torch.randn(plan.clips[-1].latent + 345, 3, dtype=torch.float64)
    clips = ((clip, one[clip.latent : clip.latent + 345]) for clip in plan.clips)
    for clip, latents in joined_latents(clips, plan):
        assert torch.allclose(latents, one[clip.latent : clip.latent + 345], atol=1e-12)


def test_noise_is_of_the_seed_and_the_clip() -> None:
    plan = laid_out(20.0, "hard")
    drawn = list(clip_noises(plan, 3, 7))
    for number, values in enumerate(drawn):
        assert torch.equal(values, torch.randn(345, 3, generator=torch.Generator().manual_seed(7 + number)))
    shared = list(clip_noises(plan, 3, 7, shared=True))
    assert all(torch.equal(values, drawn[0]) for values in shared)
    assert noise(8, 345, 3).std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("seconds", [20.0, 15.2])
def test_an_instant_of_overlapping_latents_has_one_noise(seconds: float) -> None:
    plan = laid_out(seconds, "latent", 2.0)
    drawn = list(clip_noises(plan, 3, 7))
    for before, after, first, second in zip(plan.clips, plan.clips[1:], drawn, drawn[1:], strict=False):
        shared = before.latent + 345 - after.latent
        assert shared >= plan.fade_latents
        assert torch.equal(first[-shared:], second[:shared])
        alone = noise(7 + after.number, 345, 3)
        assert torch.equal(second[shared:], alone[shared:])


def test_the_wav_holds_the_sound_and_appears_when_it_is_whole(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-1.2, 1.2, 50_000).astype(np.float32)
    write_wav(tmp_path / "a.wav", (sound[i : i + 7000] for i in range(0, 50_000, 7000)), 44_100, 50_000)
    read, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == 44_100 and soundfile.info(tmp_path / "a.wav").subtype == "PCM_24"
    np.testing.assert_allclose(read, sound.clip(-1, 1), atol=2.0**-22)
    for samples in (49_999, 50_001):
        with pytest.raises(ValueError, match=f"50000 samples of audio, should be {samples}"):
            write_wav(tmp_path / "b.wav", iter([sound]), 44_100, samples)
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_beyond_four_gigabytes_riff_becomes_rf64(tmp_path: Path) -> None:
    assert wav_kind(LONGEST_RIFF // 3) == "WAV" and wav_kind(LONGEST_RIFF // 3 + 1) == "RF64"
    assert 3 * 44_100 * 3600 * 9 < LONGEST_RIFF < 3 * 44_100 * 3600 * 10  # so it is ten hours


def test_an_rf64_file_is_read_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.generation.wav.LONGEST_RIFF", 1000)
    sound = np.linspace(-0.5, 0.5, 5000, dtype=np.float32)
    write_wav(tmp_path / "a.wav", iter([sound]), 16_000, 5000)
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RF64"
    np.testing.assert_allclose(soundfile.read(tmp_path / "a.wav")[0], sound, atol=2.0**-22)

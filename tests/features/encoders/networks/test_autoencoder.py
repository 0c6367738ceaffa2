import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from curation.backends.weights import WEIGHTS_FOLDER, ModelSetup, ModelUnavailable
from features.audio.mel import MODES, Mode, mel_spectrogram
from features.encoders.base import weights_version
from features.encoders.networks.autoencoder import (
    SHAPES,
    Autoencoder,
    Convolution,
    Level,
    Middle,
    VaeShape,
    build_vae,
    load_vae,
)
from features.encoders.networks.released import layout_of
from features.encoders.vae import Vae16k, spec_16k, spec_44k, weights_file
from tests.support.golden_fill import GOLDEN, fill, golden, normal, relative_error

SMALL = VaeShape(bands=6, channels=8, latent=3)


def layout(mode: Mode) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in golden(f"keys_vae_{mode}.json").items()}


def small() -> Autoencoder:
    network = Autoencoder(SMALL)
    network.remove_weight_norm()
    return network


def check_golden(network: Autoencoder, mode: Mode) -> None:
    figures = golden("golden_encoders.json")[f"vae_{mode}"]
    mel = np.random.RandomState(1101).standard_normal((1, MODES[mode].bands, 64)) * 2 - 4
    with torch.no_grad():
        mean, deviation = network.encode(torch.from_numpy(mel).float())
        decoded = network.decode(mean)
    for name, found in (("mean", mean), ("std", deviation), ("decoded", decoded)):
        assert relative_error(found, figures[name]) < 1e-4, name


@pytest.fixture(scope="module")
def encoder() -> Iterator[Vae16k]:
    """The 16 kHz encoder, opened on a file in the released layout that holds the golden weights."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "v1-16.pth")
        torch.save(fill(layout("16k")), path)
        opened = Vae16k(ModelSetup(weights=(("vae_16k", str(path)),)), "cpu")
        assert opened.spec.version == weights_version(path, 1)
    yield opened


def test_the_golden_figures_at_16k_out_of_a_released_file(encoder: Vae16k) -> None:
    check_golden(encoder.network, "16k")


@pytest.mark.slow
def test_the_golden_figures_at_44k() -> None:
    with torch.device("meta"):
        network = build_vae("44k")
    assert layout_of(network) == layout("44k")
    network.load_state_dict(fill(layout("44k")), strict=True, assign=True)
    network.remove_weight_norm()
    check_golden(network, "44k")


@pytest.mark.parametrize("name", ["golden_encoders.json", "keys_vae_16k.json", "keys_vae_44k.json"])
def test_the_golden_files_are_there(name: str) -> None:
    assert json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def test_a_clip_and_back(encoder: Vae16k) -> None:
    assert (encoder.spec.length, encoder.spec.dimension, encoder.spec.samples) == (250, 20, 128_000)
    waveform = 0.1 * normal(3, 128_000)
    mean, deviation = encoder.encode(waveform)
    assert mean.shape == deviation.shape == (250, 20)
    assert mean.dtype == deviation.dtype == torch.float32
    assert not mean.requires_grad
    with torch.no_grad():
        expected = encoder.network.encode(mel_spectrogram(waveform[None], "16k"))
    torch.testing.assert_close(torch.stack([mean, deviation]), torch.stack(expected)[:, 0].mT)
    decoded = encoder.decode(mean[:10])
    assert decoded.shape == (80, 20)
    with torch.no_grad():
        torch.testing.assert_close(decoded, encoder.network.decode(mean[:10].T[None])[0])


def test_an_encoder_refuses_what_is_no_waveform(encoder: Vae16k) -> None:
    with pytest.raises(ValueError, match=r"^vae_16k: needs a waveform \(samples,\), got \(1, 16000\)"):
        encoder.encode(torch.zeros(1, 16_000))
    with pytest.raises(ValueError, match="NaN"):
        encoder.encode(torch.full((16_000,), math.nan))
    with pytest.raises(ValueError, match=r"^vae_16k: needs latents \(time, channels\)"):
        encoder.decode(torch.zeros(20))


def test_the_specs_need_no_readable_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("v1-16.pth", "v1-44.pth"):
        (tmp_path / name).write_bytes(b"any")
    monkeypatch.setenv(WEIGHTS_FOLDER, str(tmp_path))
    spec = spec_44k(ModelSetup())
    assert (spec.name, spec.stream, spec.sample_rate, spec.samples) == ("vae_44k", "audio", 44_100, 353_280)
    assert (spec.dimension, spec.length) == (40, 345)
    assert spec.rate == pytest.approx(43.066, abs=1e-3)
    spec = spec_16k(ModelSetup())
    assert (spec.name, spec.sample_rate, spec.samples, spec.length, spec.rate) == (
        "vae_16k",
        16_000,
        128_000,
        250,
        31.25,
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_missing_file_is_named(mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_FOLDER, str(tmp_path))
    with pytest.raises(ModelUnavailable) as caught:
        weights_file(ModelSetup(), mode)
    message = str(caught.value)
    assert str(tmp_path / f"v1-{mode[:2]}.pth") in message
    assert {"16k": "69f56803f59a549a1a507c93859fd4d7", "44k": "fab020275fa44c6589820ce025191600"}[mode] in message
    assert "\n" not in message


def refusal(path: Path) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        load_vae(path, "16k")
    message = str(caught.value)
    assert message.startswith("vae_16k: ")
    assert str(path) in message
    assert "\n" not in message
    return message


def meta_state() -> dict[str, torch.Tensor]:
    """The released layout with weights that take no room: one value, repeated."""
    return {name: torch.zeros(()).expand(shape) for name, shape in layout("16k").items()}


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v1-16.pth"
    state = meta_state()
    del state["decoder.conv_in.weight"]
    torch.save(state, path)
    assert "lacks the tensor decoder.conv_in.weight" in refusal(path)
    torch.save(meta_state() | {"encoder.conv_in.weight": torch.zeros(384, 80, 5)}, path)
    assert "contains encoder.conv_in.weight of shape (384, 80, 5), should be (384, 80, 3)" in refusal(path)
    torch.save(meta_state() | {"quant_conv.weight": torch.zeros(1)}, path)
    assert "contains an unknown tensor quant_conv.weight" in refusal(path)
    torch.save(meta_state() | {"data_mean": 3}, path)
    assert "contains data_mean as a int, not a tensor" in refusal(path)
    torch.save([torch.zeros(1)], path)
    assert "contains a list, not named tensors" in refusal(path)
    torch.save({"state": Autoencoder(SMALL)}, path)
    assert "has no tensors that can be read" in refusal(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v1-16.pth"
    path.write_bytes(b"")
    assert "truncated" in refusal(path)
    path.write_bytes(os.urandom(5000))
    assert "truncated" in refusal(path)
    torch.save({"data_mean": torch.zeros(100_000)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refusal(path)
    torch.save({"data_mean": torch.zeros(100_000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:2000])
    assert "truncated" in refusal(path)
    assert "not a regular file" in refusal(tmp_path)


def test_nothing_runs_before_folding_and_nothing_folds_twice() -> None:
    network = Autoencoder(SMALL)
    for call, width in ((network.encode, 6), (network.decode, 3)):
        with pytest.raises(RuntimeError, match="remove_weight_norm"):
            call(torch.zeros(1, width, 4))
    network.remove_weight_norm()
    network.encode(torch.zeros(1, 6, 4))
    with pytest.raises(RuntimeError, match="already"):
        network.remove_weight_norm()


def test_loaded_weights_are_unfolded_again() -> None:
    network, fresh = small(), Autoencoder(SMALL)
    network.load_state_dict(fresh.state_dict())
    with pytest.raises(RuntimeError, match="remove_weight_norm"):
        network.encode(torch.zeros(1, 6, 4))
    network.remove_weight_norm()
    fresh.remove_weight_norm()
    x = normal(1, 1, 6, 8)
    torch.testing.assert_close(network.encode(x), fresh.encode(x))


def test_folding_follows_its_formula() -> None:
    convolution = Convolution(4, 2, 3)
    weight = convolution.weight.detach().double().numpy()
    convolution.fold()
    for before, after in zip(weight, convolution.weight.detach().numpy(), strict=True):
        expected = before / (1e-4 + math.sqrt((before**2).mean())) / math.sqrt(12)
        np.testing.assert_allclose(after, expected, rtol=1e-5)


def test_fresh_weights_have_no_gain_and_unit_variance() -> None:
    network = Autoencoder(VaeShape(bands=16, channels=32, latent=4))
    assert network.encoder.learnable_gain == 0 == network.decoder.learnable_gain
    assert network.decoder.conv_in.weight.detach().std() == pytest.approx(1, abs=0.1)


def test_values_are_clipped() -> None:
    with torch.no_grad():
        for part in (Level(4, 4, 1), Middle(4)):
            for weight in part.parameters():
                weight.mul_(1e3)
            assert part(normal(1, 1, 4, 8)).abs().max() == 256
        network = small()
        network.encoder.learnable_gain.fill_(1e6)
        deviation = network.encode(normal(1, 1, 6, 64))[1]
    assert deviation.max() == pytest.approx(math.exp(10))
    assert deviation.min() == pytest.approx(math.exp(-15))


def test_an_odd_frame_is_lost_and_rows_are_their_own() -> None:
    network = small()
    x = normal(5, 2, 6, 9)
    mean, deviation = network.encode(x)
    assert mean.shape == deviation.shape == (2, 3, 4)
    torch.testing.assert_close(network.encode(x[1:])[0], mean[1:])
    assert network.decode(mean).shape == (2, 6, 8)


@pytest.mark.parametrize(
    ("mel", "message"),
    [
        (torch.zeros(1, 5, 8), r"mel must be floating-point \(batch, 6, time >= 2\), got torch.float32 \(1, 5, 8\)"),
        (torch.zeros(6, 8), "mel must be"),
        (torch.zeros(1, 6, 1), "mel must be"),
        (torch.zeros(1, 6, 8, dtype=torch.int64), "mel must be"),
        (torch.full((1, 6, 8), math.nan), "the mel have NaN or infinite values"),
    ],
)
def test_what_it_refuses(mel: torch.Tensor, message: str) -> None:
    network = small()
    with pytest.raises(ValueError, match=message):
        network.encode(mel)
    with pytest.raises(ValueError, match="latents"):
        network.decode(mel[..., :0] if mel.isfinite().all() else mel[:, :3])


def test_an_unknown_mode() -> None:
    with pytest.raises(ValueError, match="mode '48k': known are 16k, 44k"):
        build_vae("48k")  # type: ignore[arg-type]
    assert set(SHAPES) == set(MODES)

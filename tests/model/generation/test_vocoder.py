"""From latents to sound: the mel codec's way, and BigVGAN out of files as they are released."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from curation.backends.weights import ModelSetup, ModelUnavailable
from features.audio.mel import MODES, Mode, mel_spectrogram
from features.encoders import melcodec
from manifests.recipe import RecipeError, load_recipe
from model.errors import ModelError
from model.generation import bigvgan, open_vocoder
from model.generation.bigvgan import load_bigvgan, weights_file
from tests.support.checkpoint_cases import REPEATED, hostile_checkpoints
from tests.support.limits import within

SMALL: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [8, 4, 2, 2, 2, 2],
    "upsample_kernel_sizes": [16, 8, 4, 4, 4, 4],
    "upsample_initial_channel": 64,
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
    "activation": "snakebeta",
    "snake_logscale": True,
    "num_mels": 128,
    "sampling_rate": 44_100,
}


def network(sizes: dict[str, Any]) -> nn.Module:
    """The package's own, with weights that make a sound."""
    from bigvgan.bigvgan import BigVGAN
    from bigvgan.env import AttrDict

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        made: nn.Module = BigVGAN(AttrDict(dict(sizes))).eval()
    for name, values in made.named_parameters():
        if name.endswith("weight_g"):
            values.data.uniform_(0.5, 1.5)
    return made


def released(folder: Path, made: nn.Module, sizes: dict[str, Any] = SMALL, name: str = "bigvgan_generator.pt") -> Path:
    folder.mkdir(exist_ok=True)
    torch.save({"generator": made.state_dict()}, folder / name)
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder / name


def test_released_weights_sound_as_in_the_package(tmp_path: Path) -> None:
    made = network(SMALL)
    path = released(tmp_path, made)
    loaded = load_bigvgan(path, "44k")
    mel = torch.randn(1, 128, 6)
    with torch.no_grad():
        wanted, got = made(mel), loaded(mel)
    assert got.shape == (1, 1, 6 * 512) and float(wanted.std()) > 1e-3
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    assert not any(values.requires_grad for values in loaded.parameters()) and not loaded.training
    assert not any(name.endswith("weight_g") for name in loaded.state_dict())
    # some releases are stored with plain weights already
    again = load_bigvgan(released(tmp_path / "plain", loaded), "44k")
    with torch.no_grad():
        torch.testing.assert_close(again(mel), wanted, atol=1e-5, rtol=1e-4)


def test_make_an_audio_2s_sizes_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {**(bigvgan.RELEASES["16k"].sizes or {})}
    assert np.prod(sizes["upsample_rates"]) == MODES["16k"].hop and sizes["num_mels"] == MODES["16k"].bands
    assert sizes["upsample_kernel_sizes"] == [2 * rate for rate in sizes["upsample_rates"]]
    with torch.device("meta"):
        whole = network(sizes)
    # 112.2 million in the paper (Table 1, BigVGAN with 100 bands); 80 bands are 20 x 1536 x 7 fewer
    count = sum(values.numel() for name, values in whole.named_parameters() if not name.endswith("weight_g"))
    assert count == pytest.approx(112.2e6, rel=5e-3)
    small = {**sizes, "upsample_initial_channel": 64}
    release = bigvgan.Release("best_netG.pt", "", small)
    monkeypatch.setattr(bigvgan, "RELEASES", {"16k": release})
    made = network(small)
    torch.save({"generator": made.state_dict(), "steps": 5}, tmp_path / "best_netG.pt")  # no config.json beside it
    mel = torch.randn(1, 80, 5)
    with torch.no_grad():
        loaded = load_bigvgan(tmp_path / "best_netG.pt", "16k")
        got = loaded(mel)
        torch.testing.assert_close(got, made(mel), atol=1e-5, rtol=1e-4)
    assert got.shape[-1] == 5 * 256
    assert loaded.use_tanh_at_final and loaded.use_bias_at_final  # as the first version does, unlike the second


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"num_mels": 100}, "has num_mels 100, should be 128"),
        ({"sampling_rate": 24_000}, "has sampling_rate 24000, should be 44100"),
        ({"upsample_rates": [4, 4, 2, 2, 2, 2]}, "has hop_size 256, should be 512"),
        ({"upsample_initial_channel": 128}, "is of another network"),
        ({"activation": "relu"}, "is incomplete"),
        ({"resblock": None}, "is incomplete"),
    ],
)
def test_another_configuration_is_refused(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = released(tmp_path, network(SMALL), {**SMALL, **changed})
    with pytest.raises(ModelUnavailable, match=words) as refused:
        load_bigvgan(path, "44k")
    assert "\n" not in str(refused.value)


def test_hostile_weights_are_refused(tmp_path: Path) -> None:
    for name, (path, words) in hostile_checkpoints(tmp_path, lambda tensors: {"generator": tensors}).items():
        if name in REPEATED:  # never copied: the network has no such tensor
            assert bigvgan._read_state(path)["x"].tolist() == [0, 1, 2, 3]
            continue
        with within(20), pytest.raises(ModelUnavailable) as refused:
            bigvgan._read_state(path)
        assert words in str(refused.value) and len(str(refused.value).splitlines()) == 1, (name, refused.value)


def test_what_is_missing_or_damaged_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LPSE_WEIGHTS", raising=False)
    with pytest.raises(ModelUnavailable, match=r"needs bigvgan_generator\.pt.*weights\.bigvgan_44k"):
        weights_file(ModelSetup(), "44k")
    with pytest.raises(ModelUnavailable, match=r"needs best_netG\.pt"):
        open_vocoder("vae_16k", ModelSetup())  # said before the autoencoder is looked for
    path = released(tmp_path, network(SMALL))
    monkeypatch.setenv("LPSE_WEIGHTS", str(tmp_path))
    assert weights_file(ModelSetup(), "44k") == path
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"config\.json is missing: get it from https"):
        load_bigvgan(path, "44k")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ModelUnavailable, match="is not a configuration of BigVGAN"):
        load_bigvgan(path, "44k")
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelUnavailable, match="truncated, or of another kind"):
        load_bigvgan(path, "44k")
    state = network(SMALL).state_dict()
    for changed in ({"extra": torch.zeros(1), **state}, dict(list(state.items())[1:])):
        torch.save({"generator": changed}, path)
        with pytest.raises(ModelUnavailable, match="is of another network"):
            load_bigvgan(path, "44k")
    torch.save({"generator": {"conv_pre.bias": [1.0]}}, path)
    with pytest.raises(ModelUnavailable, match="not a table of tensors"):
        load_bigvgan(path, "44k")
    torch.save({"model": {}}, path)
    with pytest.raises(ModelUnavailable, match="has no generator"):
        load_bigvgan(path, "44k")


class _Dangerous:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_nothing_in_a_file_of_weights_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = released(tmp_path, network(SMALL))
    torch.save({"generator": _Dangerous()}, path)
    with pytest.raises(ModelUnavailable, match="has no generator"):
        load_bigvgan(path, "44k")
    assert not (tmp_path / "executed").exists()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> ModelSetup:
    """A setup whose mel codecs are fitted on noise with a tone in it."""
    folder = tmp_path_factory.mktemp("fits")
    modes: tuple[Mode, ...] = ("16k", "44k")
    for mode in modes:
        melcodec.save(melcodec.fit([_sound(mode, 8.0)], mode), folder / f"melcodec_{mode}-0")
    return ModelSetup(fits=folder, active=(("melcodec_16k", "0"), ("melcodec_44k", "0")))


def _sound(mode: Mode, seconds: float) -> torch.Tensor:
    rate = MODES[mode].sample_rate
    t = torch.arange(round(seconds * rate)) / rate
    swell = 0.1 + 0.09 * torch.sin(2 * torch.pi * t)
    noise = torch.randn(len(t), generator=torch.Generator().manual_seed(0))
    return (0.2 * torch.sin(2 * torch.pi * (300 + 40 * t) * t) + swell * noise).float().clamp(-1, 1)


@pytest.mark.parametrize("mode", ["16k", "44k"])
def test_the_mel_codec_gives_its_sound_back(mode: Mode, fitted: ModelSetup) -> None:
    vocoder = open_vocoder(f"melcodec_{mode}", fitted)
    sound = _sound(mode, 2.0)
    latents, _ = (
        melcodec.MelCodec16k(fitted).encode(sound) if mode == "16k" else melcodec.MelCodec44k(fitted).encode(sound)
    )
    heard = vocoder(latents)
    assert (heard.shape, heard.dtype) == ((2 * MODES[mode].hop * len(latents),), torch.float32)
    assert (vocoder.sample_rate, vocoder.fade) == (MODES[mode].sample_rate, "power")
    assert torch.equal(heard, vocoder(latents))  # the same on every call
    ours, theirs = (mel_spectrogram(one[None, : len(heard)], mode)[0] for one in (heard, sound))
    frames = min(ours.shape[1], theirs.shape[1])
    assert float((ours[:, :frames] - theirs[:, :frames]).abs().mean()) < 0.6 * float(theirs.std())


def test_what_is_no_latent_is_refused(fitted: ModelSetup) -> None:
    vocoder = open_vocoder("melcodec_16k", fitted)
    with pytest.raises(ValueError, match=r"latents \(250, 40\), not \(T, 20\)"):
        vocoder(torch.zeros(250, 40))
    with pytest.raises(ModelError, match="melcodec_16k: the network gave NaN or infinite latents"):
        vocoder(torch.full((10, 20), torch.nan))
    with pytest.raises(ModelUnavailable, match="motion is not an encoder of audio"):
        open_vocoder("motion", fitted)


@pytest.mark.parametrize("mode", ["16k", "44k"])
def test_a_recipe_names_the_vocoder_of_its_autoencoder(mode: str, tmp_path: Path) -> None:
    other = {"16k": "44k", "44k": "16k"}[mode]
    path = tmp_path / "mine.toml"
    text = 'extends = "default"\n[features]\naudio = "vae_{}"\n[weights]\nbigvgan_{} = "vocoder.pt"\n'
    (tmp_path / "vocoder.pt").touch()
    path.write_text(text.format(mode, mode))
    assert Path(load_recipe(str(path)).weights[f"bigvgan_{mode}"]) == tmp_path / "vocoder.pt"
    path.write_text(text.format(mode, other))
    with pytest.raises(RecipeError, match=f"weights.bigvgan_{other}"):
        load_recipe(str(path))

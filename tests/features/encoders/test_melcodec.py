"""The mel codec and phase reconstruction on sounds that are known: tones, bursts, clicks, swelling noise."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from curation.backends.weights import ModelSetup, ModelUnavailable
from features.audio import griffin_lim
from features.audio.griffin_lim import amplitudes, waveform
from features.audio.mel import FLOOR, MODES, Mode, filter_bank, mel_spectrogram
from features.encoders.melcodec import (
    CODE,
    FILE,
    FORMAT,
    LATENTS,
    Codec,
    MelCodec16k,
    MelCodec44k,
    fit,
    load,
    save,
    spec_16k,
    spec_44k,
)

BOTH: tuple[Mode, ...] = ("16k", "44k")
ENCODERS = {"16k": MelCodec16k, "44k": MelCodec44k}
SPECS = {"16k": spec_16k, "44k": spec_44k}


def sound(seed: int, mode: Mode, seconds: float = 4.0) -> Tensor:
    """Noise of a colour that swells, a gliding tone with overtones, decaying bursts and clicks."""
    generator = torch.Generator().manual_seed(seed)
    rate = MODES[mode].sample_rate
    count = round(seconds * rate)
    t = torch.arange(count) / rate

    def pick(low: float, high: float) -> float:
        return low + (high - low) * torch.rand(1, generator=generator).item()

    noise = torch.randn(count, generator=generator)
    rumble = torch.nn.functional.avg_pool1d(noise[None], 2 * int(pick(2, 20)) + 1, 1, int(pick(0, 1)))[0]
    rumble = torch.nn.functional.pad(rumble, (0, count - len(rumble)))
    swelling = 0.1 * (1.2 + torch.sin(2 * math.pi * pick(0.2, 1.0) * t)) * rumble
    phase = 2 * math.pi * (pick(150, 900) * t + pick(-60, 60) * t.square())
    tone = sum(pick(0.0, 0.12) * torch.sin(k * phase) for k in (1, 2, 3)) * (torch.sin(2 * math.pi * 0.5 * t) > 0)
    made = swelling + tone
    for _ in range(5):
        begin = int(pick(0, 0.9) * count)
        made[begin:] += pick(0.05, 0.4) * noise[: count - begin] * torch.exp(-t[: count - begin] * pick(8, 60))
        made[int(pick(0, 0.99) * count)] += pick(0.2, 0.8)
    return made.clamp(-1, 1)


def decibels(mode: Mode, first: Tensor, second: Tensor) -> float:
    """Log-spectral distance of log-mel (bands, T): root mean square over the bands, mean over time, in dB."""
    scale = 20.0 if mode == "16k" else 20.0 / math.log(10)
    return float((first - second).square().mean(0).sqrt().mean() * scale)


def convergence(mode: Mode, found: Tensor, wanted: Tensor) -> float:
    """Spectral convergence of log-mel (bands, T): relative error of the amplitudes."""
    found, wanted = (10**x if mode == "16k" else x.exp() for x in (found, wanted))
    return float((found - wanted).norm() / wanted.norm())


@pytest.fixture(scope="module")
def codecs() -> dict[Mode, Codec]:
    return {mode: fit((sound(seed, mode) for seed in range(12)), mode) for mode in BOTH}


@pytest.fixture(scope="module")
def setup(codecs: dict[Mode, Codec], tmp_path_factory: pytest.TempPathFactory) -> ModelSetup:
    fits = tmp_path_factory.mktemp("fits")
    for mode, codec in codecs.items():
        folder = fits / f"melcodec_{mode}-0123abcd"
        folder.mkdir()
        save(codec, folder)
    return ModelSetup(fits=fits, active=tuple((f"melcodec_{mode}", "0123abcd") for mode in BOTH))


@pytest.mark.parametrize(
    ("mode", "samples", "length", "latents", "rate"),
    [("16k", 128_000, 250, 20, 31.25), ("44k", 353_280, 345, 40, 44_100 / 1024)],
)
def test_clips_have_the_shapes_of_mmaudio_s_latents(
    setup: ModelSetup, mode: Mode, samples: int, length: int, latents: int, rate: float
) -> None:
    encoder = ENCODERS[mode](setup)
    spec = encoder.spec
    assert (spec.name, spec.version) == (f"melcodec_{mode}", f"{CODE}-0123abcd")
    assert (spec.samples, spec.length, spec.dimension, spec.rate) == (samples, length, latents, rate)
    mean, deviation = encoder.encode(torch.nn.functional.pad(sound(20, mode), (0, samples))[:samples])
    assert mean.shape == deviation.shape == (length, latents)
    assert mean.dtype == deviation.dtype == torch.float32
    assert torch.equal(deviation, torch.zeros(length, latents))
    assert encoder.decode(mean).shape == (MODES[mode].bands, 2 * length)


@pytest.mark.parametrize("mode", BOTH)
def test_components_are_those_of_a_plain_decomposition(codecs: dict[Mode, Codec], mode: Mode) -> None:
    codec = codecs[mode]
    spectra = [mel_spectrogram(sound(seed, mode)[None], mode)[0].double() for seed in range(12)]
    spectra = [one[:, : one.shape[1] // 2 * 2] for one in spectra]
    data = torch.cat([torch.cat([one[:, 0::2], one[:, 1::2]]).T for one in spectra])
    assert codec.count == len(data)
    _, values, directions = torch.linalg.svd(data - data.mean(0), full_matrices=False)
    deviations = values / math.sqrt(len(data))
    kept = LATENTS[mode]
    torch.testing.assert_close(codec.mean.double(), data.mean(0), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(codec.scale.double(), deviations[:kept], atol=0, rtol=1e-5)
    # the first few lie far enough apart for their directions to be certain
    torch.testing.assert_close(
        (codec.components[:5].double() @ directions[:5].T).abs(), torch.eye(5).double(), atol=1e-4, rtol=0
    )
    share = deviations[:kept].square().sum() / deviations.square().sum()
    assert codec.explained == pytest.approx(share.item(), abs=1e-9)
    assert 0.8 < codec.explained < 1
    identity = codec.components @ codec.components.T
    torch.testing.assert_close(identity, torch.eye(kept), atol=1e-5, rtol=0)
    peaks = codec.components.abs().argmax(1)
    assert bool((codec.components[torch.arange(kept), peaks] > 0).all())


@pytest.mark.parametrize("mode", BOTH)
def test_latents_are_about_standard(codecs: dict[Mode, Codec], mode: Mode) -> None:
    codec = codecs[mode]
    latents = torch.cat([codec.latents(mel_spectrogram(sound(seed, mode)[None], mode)[0]) for seed in range(12)])
    torch.testing.assert_close(latents.mean(0), torch.zeros(LATENTS[mode]), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std(0), torch.ones(LATENTS[mode]), atol=2e-3, rtol=0)
    unseen = codec.latents(mel_spectrogram(sound(77, mode)[None], mode)[0])
    assert 0.3 < unseen.std() < 3


@pytest.mark.parametrize("mode", BOTH)
def test_what_is_decoded_is_near_what_was_encoded(setup: ModelSetup, mode: Mode) -> None:
    encoder = ENCODERS[mode](setup)
    heard = sound(40, mode)
    spectrum = mel_spectrogram(heard[None], mode)[0]
    spectrum = spectrum[:, : spectrum.shape[1] // 2 * 2]
    mean, _ = encoder.encode(heard)
    decoded = encoder.decode(mean)
    assert decibels(mode, decoded, spectrum) < 6
    assert decibels(mode, decoded, spectrum.mean(1, keepdim=True).expand_as(spectrum)) > 6  # a mean compares nothing
    # latents of what was decoded are the latents, except where it was held above silence
    torch.testing.assert_close(encoder.codec.latents(decoded), mean, atol=0.05, rtol=0)
    again = encoder.waveform(mean)
    assert again.shape == (spectrum.shape[1] * MODES[mode].hop,)
    assert decibels(mode, mel_spectrogram(again[None], mode)[0], spectrum) < 6.5


def test_a_fit_does_not_depend_on_how_sound_comes(codecs: dict[Mode, Codec]) -> None:
    sounds = [sound(seed, "16k") for seed in range(12)]
    again, backwards = fit(sounds, "16k"), fit(reversed(sounds), "16k")
    for name in ("mean", "components", "scale"):
        assert torch.equal(getattr(again, name), getattr(codecs["16k"], name))
        torch.testing.assert_close(getattr(backwards, name), getattr(again, name), atol=1e-5, rtol=1e-5)
    assert again.explained == codecs["16k"].explained
    # what is too short for a latent adds nothing
    assert torch.equal(fit([torch.ones(511), *sounds], "16k").mean, again.mean)


def test_a_fit_holds_one_sound_at_a_time() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def sounds() -> Iterator[Tensor]:
        for seed in range(4):
            # the one before, which the loop still names, is all there is
            assert sum(one() is not None for one in alive) <= 1
            made = sound(seed, "16k", 2.0)
            alive.append(weakref.ref(made))
            yield made
            del made

    assert fit(sounds(), "16k").count == 4 * 62


def test_fits_of_too_little_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^melcodec_16k: 62 latents are too few for a fit, which needs at least 160"):
        fit([sound(1, "16k", 2.0)], "16k")
    with pytest.raises(ValueError, match=r"^melcodec_44k: 0 latents"):
        fit([], "44k")
    with pytest.raises(ValueError, match=r"^melcodec_16k: the audio is too uniform for 20 components$"):
        fit([torch.zeros(160_000)], "16k")
    with pytest.raises(ValueError, match=r"^melcodec: no mode '48k': known are 16k, 44k$"):
        fit([], "48k")
    assert fit([sound(1, "16k", 8.0)], "16k").count == 250  # a single cut will do


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(2, 16_000), r"waveform 1 is torch\.float32 \(2, 16000\), not float32 \(samples,\)"),
        (torch.zeros(16_000, dtype=torch.float64), r"waveform 1 is torch\.float64"),
        (torch.full((16_000,), float("nan")), r"waveform 1: .*NaN"),
    ],
)
def test_what_is_no_sound_is_named(bad: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"^melcodec_16k: {message}"):
        fit([sound(1, "16k", 1.0), bad], "16k")


def test_a_codec_comes_back_as_it_was_saved(codecs: dict[Mode, Codec], tmp_path: Path) -> None:
    codec = codecs["44k"]
    save(codec, tmp_path)
    back = load(tmp_path)
    assert (back.mode, back.explained, back.count) == (codec.mode, codec.explained, codec.count)
    for name in ("mean", "components", "scale"):
        assert torch.equal(getattr(back, name), getattr(codec, name))
    first = (tmp_path / FILE).read_bytes()
    save(codec, tmp_path)
    assert (tmp_path / FILE).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_damaged_and_foreign_files_are_refused(codecs: dict[Mode, Codec], tmp_path: Path) -> None:
    path = tmp_path / FILE
    save(codecs["16k"], tmp_path)
    whole = path.read_bytes()
    # copies: what is loaded lies in the file, which is written anew below
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    facts = {"format": FORMAT, "mode": "16k", "explained": 0.9, "count": 1000}

    def write(of: dict[str, Tensor], **changed: object) -> None:
        save_file(of, path, {"codec": json.dumps({**facts, **changed})})

    def refused(message: str) -> None:
        with pytest.raises(ValueError, match=f"^{path}: not a codec, or damaged: {message}"):
            load(tmp_path)

    for damaged in (whole[: len(whole) // 2], b"", b"not a codec at all"):
        path.write_bytes(damaged)
        refused("")
    save_file(tensors, path)  # anything else in this container
    refused("'codec' is missing")
    save_file(tensors, path, {"codec": "{"})
    refused("Expecting")
    write(tensors, format="lpse melcodec 0")
    refused("format 'lpse melcodec 0', not 'lpse melcodec 1'")
    write({"mean": tensors["mean"]})
    refused("'components' is missing")
    write(tensors, mode="44k")
    refused(r"mean is torch\.float32 \(160,\)")
    write(tensors, mode="48k")
    refused("melcodec: no mode '48k'")
    write(tensors, count="many")
    refused("invalid literal")
    write({**tensors, "mean": tensors["mean"] * float("nan")})
    refused("mean has NaN")
    write({**tensors, "scale": -tensors["scale"]})
    refused("scale has values that are not positive")
    write(tensors)
    assert load(tmp_path).count == 1000


@pytest.mark.parametrize("mode", BOTH)
def test_what_is_not_fitted_says_so(setup: ModelSetup, mode: Mode, tmp_path: Path) -> None:
    for missing in (ModelSetup(), replace(setup, active=()), replace(setup, fits=None)):
        with pytest.raises(ModelUnavailable, match=f"^melcodec_{mode} has not been fitted: run lpse refit"):
            SPECS[mode](missing)
    with pytest.raises(ModelUnavailable, match=f"^{tmp_path}/melcodec_{mode}-0123abcd/{FILE} is missing: run"):
        SPECS[mode](replace(setup, fits=tmp_path))


def test_the_other_rate_s_codec_is_refused(codecs: dict[Mode, Codec], tmp_path: Path) -> None:
    folder = tmp_path / "melcodec_16k-1"
    folder.mkdir()
    save(codecs["44k"], folder)
    with pytest.raises(ValueError, match="codec for 44k, not for 16k"):
        MelCodec16k(ModelSetup(fits=tmp_path, active=(("melcodec_16k", "1"),)))


def test_bad_input_is_refused(setup: ModelSetup) -> None:
    encoder = MelCodec16k(setup)
    for bad in (torch.zeros(2, 16_000), torch.zeros(16_000, dtype=torch.int16), torch.zeros(100)):
        with pytest.raises(ValueError, match=r"^melcodec_16k: the waveform"):
            encoder.encode(bad)
    with pytest.raises(ValueError, match="NaN"):
        encoder.encode(torch.full((16_000,), float("nan")))
    for latents in (torch.zeros(5, 40), torch.zeros(20), torch.zeros(5, 20, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"^melcodec_16k: latents are "):
            encoder.decode(latents)
    for decoder in (encoder.decode, encoder.waveform):
        with pytest.raises(ValueError, match=r"^melcodec_16k: latents have NaN"):
            decoder(torch.full((5, 20), float("inf")))
    assert encoder.decode(torch.zeros(3, 20, dtype=torch.float16)).dtype == torch.float32
    assert encoder.waveform(torch.zeros(0, 20)).shape == (0,)
    assert encoder.decode(torch.full((5, 20), -100.0)).min() == MODES["16k"].silence  # nothing is less


@pytest.mark.parametrize("mode", BOTH)
def test_phases_are_found_for_a_spectrogram(mode: Mode) -> None:
    spectrum = mel_spectrogram(sound(60, mode, 1.5)[None], mode)[0]
    found = mel_spectrogram(waveform(spectrum, mode)[None], mode)[0]
    assert found.shape == spectrum.shape
    few = mel_spectrogram(waveform(spectrum, mode, iterations=1)[None], mode)[0]
    assert convergence(mode, found, spectrum) < 0.12 < 0.2 < convergence(mode, few, spectrum)
    assert decibels(mode, found, spectrum) < 1.6 < decibels(mode, few, spectrum)
    assert torch.equal(waveform(spectrum, mode), waveform(spectrum, mode))


def test_momentum_finds_them_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    spectrum = mel_spectrogram(sound(60, "16k", 1.5)[None], "16k")[0]
    fast = convergence("16k", mel_spectrogram(waveform(spectrum, "16k")[None], "16k")[0], spectrum)
    monkeypatch.setattr(griffin_lim, "MOMENTUM", 0.0)
    plain = convergence("16k", mel_spectrogram(waveform(spectrum, "16k")[None], "16k")[0], spectrum)
    assert fast < 0.9 * plain


@pytest.mark.parametrize("mode", BOTH)
def test_a_tone_keeps_its_pitch_and_a_click_its_time(mode: Mode) -> None:
    rate = MODES[mode].sample_rate
    tone = 0.5 * torch.sin(2 * math.pi * 1000 * torch.arange(rate) / rate)
    found = waveform(mel_spectrogram(tone[None], mode)[0], mode)
    peak = torch.fft.rfft(found).abs().argmax().item() * rate / len(found)
    assert abs(peak - 1000) < 30
    assert 0.35 < found.abs().quantile(0.99) < 0.7
    click = torch.zeros(rate)
    click[rate // 2] = 0.9
    found = waveform(mel_spectrogram(click[None], mode)[0], mode)
    assert abs(found.abs().argmax().item() - rate // 2) < 0.005 * rate
    away = found.clone()
    away[rate // 2 - rate // 25 : rate // 2 + rate // 25] = 0
    assert away.abs().max() < 0.05 * found.abs().max()


@pytest.mark.parametrize("mode", BOTH)
def test_the_ends_are_as_good_as_the_rest(mode: Mode) -> None:
    rate, hop = MODES[mode].sample_rate, MODES[mode].hop
    noises = 0.1 * torch.randn((16, rate // 2 // hop * hop), generator=torch.Generator().manual_seed(62))
    spectra = mel_spectrogram(noises, mode)
    found = torch.stack([waveform(one, mode) for one in spectra])
    inside = found[:, rate // 10 : -rate // 10].square().mean()
    for end in (found[:, : rate // 100], found[:, -rate // 100 :]):  # what meets at a join
        assert abs(10 * (end.square().mean() / inside).log10()) < 0.8
    errors = (mel_spectrogram(found, mode) - spectra).abs()
    assert errors[:, :, [0, 1, -2, -1]].mean() < 1.2 * errors[:, :, 4:-4].mean()


@pytest.mark.parametrize("mode", BOTH)
def test_silence_stays_silent(mode: Mode) -> None:
    spectrum = mel_spectrogram(torch.zeros(1, 20_000), mode)[0]
    assert torch.equal(waveform(spectrum, mode), torch.zeros(20_000 // MODES[mode].hop * MODES[mode].hop))


@pytest.mark.parametrize("mode", BOTH)
def test_amplitudes_are_positive_and_give_the_bands_back(mode: Mode) -> None:
    spectrum = mel_spectrogram(sound(61, mode, 1.0)[None], mode)[0]
    bins = amplitudes(spectrum, mode)
    assert bins.shape == (MODES[mode].bins, spectrum.shape[1]) and bins.min() >= 0
    bands = (filter_bank(mode) @ bins).clamp_min(FLOOR)
    assert decibels(mode, bands.log10() if mode == "16k" else bands.log(), spectrum) < 0.6


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(1, 9), level=st.floats(-20.0, 200.0), mode=st.sampled_from(BOTH))
def test_every_spectrogram_gives_a_bounded_sound(frames: int, level: float, mode: Mode) -> None:
    generator = torch.Generator().manual_seed(frames)
    spectrum = level + torch.randn((MODES[mode].bands, frames), generator=generator)
    found = waveform(spectrum, mode, iterations=2)
    assert found.shape == (frames * MODES[mode].hop,)
    assert bool(found.isfinite().all()) and found.abs().max() <= 1


def test_spectrograms_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^log-mel 16k: is torch\.float32 \(128, 5\), not floating-point \(80, T\)"):
        waveform(torch.zeros(128, 5), "16k")
    with pytest.raises(ValueError, match=r"^log-mel 44k: has NaN"):
        waveform(torch.full((128, 5), float("nan")), "44k")

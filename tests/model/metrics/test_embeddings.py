"""Embeddings of sound effects, beside the package that their weights come from."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from curation.backends import weights
from curation.backends.weights import ModelUnavailable, packaged_file
from model.metrics import embeddings, frechet_distance, moments_of
from model.metrics.embeddings import FRAME, HOP, LARGEST, SAMPLE_RATE, SfxEmbedding, load, spectrogram, windows_in

Sound = NDArray[np.float32]


@pytest.fixture(scope="module")
def embedding() -> SfxEmbedding:
    return SfxEmbedding()


def swelling(seconds: float, seed: int = 1, corner: float = 4000.0) -> Sound:
    """Noise that falls above `corner` Hz and swells, with clicks."""
    draw = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(draw.standard_normal(count))
    spectrum /= 1 + (np.fft.rfftfreq(count, 1 / SAMPLE_RATE) / corner) ** 2
    sound = np.fft.irfft(spectrum, count) * (0.6 + 0.4 * np.sin(2 * np.pi * np.arange(count) / (1.7 * SAMPLE_RATE)))
    sound[:: SAMPLE_RATE // 2] += 8.0
    return np.asarray(0.05 * sound, np.float32)


def package() -> tuple[Any, Any]:
    """The package's own network with its own weights, and its code that cuts spectrograms into windows."""
    inference = importlib.import_module("aisfx.inference")
    # its way to open the file is torch's former default, which runs what the file says
    path = packaged_file("aisfx", "models/checkpoint.pth", "aisfx")
    state, sizes = torch.load(path, map_location="cpu", weights_only=False)
    return inference.load_bestModel(state, sizes, "cpu"), inference


def test_embeddings_equal_the_package_s_own(embedding: SfxEmbedding) -> None:
    network, inference = package()
    sound = swelling(8.0)
    padded = np.concatenate([np.zeros(FRAME // 2), sound, np.zeros(FRAME)]).astype(np.float32)
    # this many frames begin before the sound ends and reach its end with their middle
    frames = spectrogram(torch.from_numpy(padded))[: 1 + -(-len(sound) // HOP)].numpy()
    expected = inference.model_get_embedding(frames, 0.5, True, network, "cpu").numpy()
    found = embedding.embed(sound)
    assert found.shape == expected.shape == (windows_in(len(sound)), 512) and found.dtype == np.float32
    assert found == pytest.approx(expected, abs=2e-5 * float(expected.max()))
    assert expected.std() > 0.05


def test_the_network_takes_its_weights_as_they_are() -> None:
    network, _ = package()
    frames = torch.rand(3, 100, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(load()(frames), network.get_embedding(frames))
    assert sum(p.numel() for p in load().parameters()) == 9 * 520_256 + 2 * 2 * 960


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what librosa opens files with
def test_bands_are_those_of_the_package_s_librosa_but_for_the_shape_of_triangles(tmp_path: Path) -> None:
    computed = importlib.import_module("aisfx.spectrogram.spectrogram_librosa").compute_spectrogram
    sound = swelling(3.0)
    sound /= np.abs(sound).max()  # librosa's way takes every sound to full scale
    soundfile.write(tmp_path / "sound.wav", sound, SAMPLE_RATE, "FLOAT")
    theirs = computed(str(tmp_path / "sound.wav"), SAMPLE_RATE, FRAME, HOP, 96, 0.0, 22050.0).T
    padded = np.concatenate([np.zeros(FRAME // 2), sound, np.zeros(FRAME // 2)]).astype(np.float32)
    ours = spectrogram(torch.from_numpy(padded)).numpy() * LARGEST
    assert ours.shape == theirs.shape
    # narrow bands at the bottom are of two or three bins, and differ most
    apart = np.abs(ours - theirs)
    assert apart.mean() < 0.02 and np.quantile(apart, 0.99) < 0.2 and apart[:, 24:].max() < 0.2
    assert theirs.std() > 1.0


def test_bands_are_even_on_the_mel_scale_and_sum_to_one() -> None:
    bank = embeddings.filter_bank().numpy()
    assert bank.shape == (96, 1025) and bank.min() == 0.0
    assert bank.sum(axis=1) == pytest.approx(np.ones(96), abs=1e-6)
    centres = librosa.mel_frequencies(98, fmin=0.0, fmax=22050.0, htk=True)
    spacing = SAMPLE_RATE / FRAME
    peaks = bank.argmax(axis=1) * spacing
    assert np.abs(peaks - centres[1:-1]).max() <= spacing
    # a side of a triangle is straight on the mel scale, not in hertz, where it would be another by up to 2 %
    mels, edges = (librosa.hz_to_mel(x, htk=True) for x in (spacing * np.arange(1025), centres))
    rising = (mels > edges[90]) & (mels < edges[91])
    along = (mels[rising] - edges[90]) / (edges[91] - edges[90])
    assert len(along) > 20 and bank[90][rising] / along == pytest.approx(bank[90][rising][-1] / along[-1], rel=1e-4)
    # a band ends at the bin nearest to its upper edge
    for k in range(96):
        heard = np.flatnonzero(bank[k])
        assert heard[-1] <= np.floor(centres[k + 2] / spacing + 0.5) - 1 and heard[0] * spacing > centres[k]


def test_the_spectrogram_is_that_of_its_definition() -> None:
    sound = 0.1 * np.random.default_rng(2).standard_normal(FRAME + 3 * HOP + 5)
    frames = [sound[k * HOP : k * HOP + FRAME] * np.hanning(FRAME) for k in range(4)]  # symmetric, as Essentia has it
    power = np.abs(np.fft.rfft(frames)) ** 2 @ embeddings.filter_bank().numpy().T
    found = spectrogram(torch.from_numpy(sound.astype(np.float32))).numpy()
    assert found == pytest.approx(np.log10(1e4 * power + 1) / 9.457798957824707, abs=1e-5)


def test_a_full_scale_tone_is_about_one() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(4 * FRAME, dtype=torch.float64) / SAMPLE_RATE).float()
    frames = spectrogram(tone)
    assert frames.shape == (7, 96) and 0.9 < frames.max() < 1.0
    assert torch.equal(spectrogram(torch.zeros(FRAME)), torch.zeros(1, 96))
    # the logarithm of 1 + 10^4 x: a tenth of the amplitude is a hundredth of the power
    difference = (frames.max() - spectrogram(0.1 * tone).max()) * LARGEST
    assert float(difference) == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize(
    ("samples", "windows"),
    [(0, 0), (1, 1), (98 * HOP, 1), (148 * HOP, 1), (148 * HOP + 1, 2), (149 * HOP, 2), (198 * HOP + 1, 3)],
)
def test_windows_are_full_of_frames(samples: int, windows: int) -> None:
    # 100 frames, the last of them centred on sample 99 * 1024 at the latest; then 50 more
    assert windows_in(samples) == windows


def test_windows_do_not_hang_on_how_they_are_batched(embedding: SfxEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = swelling(12.0)
    together = embedding.embed(sound)
    assert len(together) == windows_in(len(sound)) == 9
    for batch in (1, 64):
        monkeypatch.setattr(embedding, "_batch", batch)
        assert embedding.embed(sound) == pytest.approx(together, abs=1e-5)
    # a window hears its own seconds only: the third begins 100 frames after the first
    later = embedding.embed(sound[100 * HOP - FRAME // 2 :][FRAME // 2 :])
    assert later[1:4] == pytest.approx(together[3:6], abs=1e-5)


def test_short_sound_is_followed_by_silence(embedding: SfxEmbedding) -> None:
    sound = swelling(0.7)
    found = embedding.embed(sound)
    assert found.shape == (1, 512)
    assert found == pytest.approx(embedding.embed(np.concatenate([sound, np.zeros(60_000, np.float32)])), abs=1e-5)
    assert embedding.embed(np.zeros(1)).shape == (1, 512)


def test_other_rates_are_brought_to_the_network_s(embedding: SfxEmbedding) -> None:
    sound = swelling(6.0, corner=1000.0)
    again = embedding.embed(librosa.resample(sound, orig_sr=SAMPLE_RATE, target_sr=48_000), 48_000)
    expected = embedding.embed(sound)
    assert again.shape == expected.shape
    assert np.abs(again - expected).mean() < 0.02 * expected.mean()


def test_the_distance_grows_with_what_is_done_to_a_sound(embedding: SfxEmbedding) -> None:
    plain = [swelling(20.0, seed) for seed in (1, 2, 3)]
    reference = moments_of(embedding.embed(plain[0]))
    found = [frechet_distance(reference, moments_of(embedding.embed(plain[1])))]
    for level in (0.02, 0.2):
        noisy = plain[2] + level * np.random.default_rng(9).standard_normal(len(plain[2])).astype(np.float32)
        found.append(frechet_distance(reference, moments_of(embedding.embed(noisy))))
    assert found[0] * 1.5 < found[1] and found[1] * 1.2 < found[2]


@pytest.mark.parametrize("sound", [np.zeros((1, 44_100)), np.zeros(0), np.full(9, np.nan), np.full(9, np.inf)])
def test_other_sounds_are_refused(embedding: SfxEmbedding, sound: Sound) -> None:
    with pytest.raises(ValueError, match=r"^aisfx: audio of shape .*must be finite"):
        embedding.embed(sound)


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged_file.cache_clear()
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"aisfx/models/checkpoint\.pth .* pip install --no-deps aisfx==0\.1\.2"):
        SfxEmbedding()
    packaged_file.cache_clear()


def test_a_file_runs_no_code_and_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pth"
    monkeypatch.setattr(embeddings, "weights_path", lambda: path)

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "harm",)

    torch.save(({}, {"library": Harm()}), path)
    with pytest.raises(pickle.UnpicklingError):
        load()
    assert not (tmp_path / "harm").exists()
    state: dict[str, Tensor] = {
        f"embedding_net.{name}": value for name, value in embeddings.EmbeddingNet().state_dict().items()
    }
    torch.save((state, {}), path)
    load()
    del state["embedding_net.conv_block4.bn2.running_var"]
    torch.save((state, {}), path)
    with pytest.raises(RuntimeError, match=r"conv_block4\.bn2\.running_var"):
        load()

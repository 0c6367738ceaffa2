"""`python -m tests.bench.panns`: PANNs in ONNX Runtime, in float and in 8 bits, against the library's own networks.

The rival is the loop that a user writes with panns-inference's networks: a WAV, librosa.load(sr=32000), torch, one
window of 2 s at a time for the tags, one whole file at a time for the events (as the package's own example does). Both
sides begin at the file and run in one process with one thread. Random weights, as `panns_files.lively` makes them:
their probabilities spread over 0 to 1 and tell sounds apart. Beside them, for 8 bits, the same network with rare
classes: AudioSet names about 2 classes of 527 in a clip, so that released networks answer with probabilities near 0.004
and seldom with ones about 0.5, where a change shows most. Needs a folder of recordings (LPSE_MEDIA or --media).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.detectors import Blocker, ModelSetup
from curation.detectors.panns import Report, calibrate, clip, frame, graph, library, runtime
from curation.media import MediaError, audio_blocks
from curation.runner.process import ONE_THREAD
from tests.bench.naive_wav import wav
from tests.support import panns_files as files

HERE = Path(__file__).resolve()

DEFAULT_MEDIA = HERE.parents[3] / "shared" / "media"
TIMED = ("p02_animal_yard.mp4", "s01_rain_reader_p10.mp4")
RATE = 32_000
ROUNDS = 2
FITTED_SECONDS, FITTED_PARTS = 20, (0.2, 0.5, 0.8)  # stretches of each other file to calibrate on
END_SECONDS = 2.0
RARE = float(np.log(2 / 527))  # log-odds of a class that 2 of 527 clips have, nearly
Array = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("LPSE_MEDIA", DEFAULT_MEDIA)))
    parser.add_argument("--only", choices=list(runtime.NETWORKS), action="append")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not all((options.media / name).is_file() for name in TIMED):
        parser.error(f"{options.media}: no {' and '.join(TIMED)}; name the folder with --media or LPSE_MEDIA")
    names = options.only or list(runtime.NETWORKS)
    if options.here:
        for name in names:
            compare(runtime.NETWORKS[name], options.media)
        return
    command = [sys.executable, "-m", f"tests.bench.{HERE.stem}", "--here", "--media", str(options.media)]
    command += [word for name in names for word in ("--only", name)]
    sys.exit(subprocess.run(command, cwd=HERE.parents[2], env=os.environ | ONE_THREAD, check=False).returncode)


def row(name: str, got: str, asked: str = "") -> None:
    print(f"  {name:<56} {got:>12}   {asked}", flush=True)


def compare(network: runtime.Network, media: Path) -> None:
    """All figures of one detector."""
    import torch

    torch.set_num_threads(1)
    paths = [media / name for name in TIMED]
    sounds = list(others(media))
    with tempfile.TemporaryDirectory() as folder:
        setup, fitted = made(network, sounds, Path(folder))
        print(f"\n{network.detector}: {len(paths)} files, CPU seconds, the least of {ROUNDS} rounds in turns")
        naive = Naive(network, library.load(network.name, Path(setup.named(network.detector) or "")))
        module: Any = clip if network.clip else frame
        kinds = {kind: replace(setup, runtimes=((network.detector, kind),)) for kind in ("onnx", "int8")}
        ours = {kind: Ours((clip.PannsClip if network.clip else frame.PannsFrame)(one)) for kind, one in kinds.items()}
        assert all(module.spec(one) for one in kinds.values())
        spent: dict[str, list[float]] = {"naive": [], "onnx": [], "int8": []}
        worst = {"onnx": 0.0, "int8": 0.0}
        for _ in range(ROUNDS):
            theirs, seconds = timed(lambda: [naive.answers(path) for path in paths])
            spent["naive"].append(seconds)
            for kind, one in ours.items():
                answers, seconds = timed(lambda one=one: [one.answers(path) for path in paths])  # type: ignore[misc]
                spent[kind].append(seconds)
                worst[kind] = max(worst[kind], largest(network, theirs, answers))
        least = {kind: min(values) for kind, values in spent.items()}
        row("the naive way", f"{least['naive']:.1f} s")
        for kind, ratio, near in (("onnx", 3.5, 1e-4), ("int8", 10, 0.02)):
            row(f"{kind}", f"{least[kind]:.1f} s")
            row(f"{kind}: times less CPU time", f"{least['naive'] / least[kind]:.2f}x", f"asked >= {ratio}x")
            row(f"{kind}: largest difference of a probability", f"{worst[kind]:.2g}", f"asked <= {near}")
        told("int8 on sound of the same recordings, held out", fitted)
        told("the same, with classes as rare as AudioSet's", rare(network, setup, sounds, Path(folder)))


def told(title: str, report: Report) -> None:
    row(f"{title}: largest", f"{report.largest:.4f}", "asked <= 0.02")
    row("  99th percentile, mean", f"{report.percentile99:.4f}, {report.mean:.5f}")


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    result = call()
    return result, time.process_time() - began


def others(media: Path) -> Iterator[Array]:
    """Stretches of the recordings that are not timed, mono at 32 kHz, one part of all of them after the other."""
    wholes = []
    for path in sorted(media.iterdir()):
        if path.suffix in (".mp4", ".webm", ".mkv", ".wav") and path.name not in TIMED:
            try:
                wholes.append(np.concatenate([block.mono[RATE] for block in audio_blocks(path, (RATE,), 10)]))
            except MediaError:
                continue
    for part in FITTED_PARTS:
        for whole in wholes:
            begin = max(0, round(part * len(whole)) - FITTED_SECONDS * RATE // 2)
            yield whole[begin : begin + FITTED_SECONDS * RATE]


def made(network: runtime.Network, sounds: list[Array], folder: Path) -> tuple[ModelSetup, Report]:
    """Random weights, their export and their calibration, as a corpus would hold them."""
    import torch

    heard = np.concatenate([files.windows(sound)[::4] for sound in sounds])[:40]
    weights = folder / "weights.pth"
    torch.save({"model": files.lively(network, heard).state_dict()}, weights)
    name = f"{network.detector}-int8"
    setup = ModelSetup(weights=((network.detector, str(weights)),), fits=folder / "fits", active=((name, "bench"),))
    module: Any = clip if network.clip else frame
    module.prepare(setup)
    place = folder / "fits" / f"{name}-bench"
    place.mkdir(parents=True)
    return setup, calibrate(network.detector, setup, sounds, place)


def rare(network: runtime.Network, setup: ModelSetup, sounds: list[Array], folder: Path) -> Report:
    """The report of a calibration after the classes' biases were made those of rare classes."""
    import torch

    path = Path(setup.named(network.detector) or "")
    content = torch.load(path, weights_only=True)
    before = library.load(network.name, path)
    bias = graph.layers_of(before).dense[1][1]
    usual = median_logit(network, setup, sounds[0])
    content["model"]["fc_audioset.bias"] = torch.from_numpy((bias - usual + RARE).astype(np.float32))
    changed = folder / "rare.pth"
    torch.save(content, changed)
    place = folder / "rare"
    place.mkdir()
    return calibrate(network.detector, replace(setup, weights=((network.detector, str(changed)),)), sounds, place)


def median_logit(network: runtime.Network, setup: ModelSetup, sound: Array) -> Array:
    """Each class's usual log-odds, (527,)."""
    pieces = clip.windows(sound) if network.clip else sound[None]
    found = runtime.Runtime(network, setup).open()(pieces).reshape(-1, library.CLASSES).clip(1e-6, 1 - 1e-6)
    return np.asarray(np.median(np.log(found / (1 - found)), axis=0), np.float32)


class Naive:
    """A WAV, librosa, the library's network."""

    def __init__(self, network: runtime.Network, model: Any) -> None:
        self._network, self._model = network, model

    def answers(self, path: Path) -> Array:
        import librosa
        import torch

        with tempfile.TemporaryDirectory() as folder:
            samples, _ = librosa.load(wav(path, Path(folder, "sound.wav")), sr=RATE, mono=True)
        with torch.inference_mode():
            if not self._network.clip:
                return np.asarray(self._model(torch.from_numpy(samples)[None])["framewise_output"][0].numpy())
            found = []
            for begin in range(0, len(samples) - 2 * RATE + 1, RATE):
                window = torch.from_numpy(samples[begin : begin + 2 * RATE])[None]
                found.append(self._model(window)["clipwise_output"][0].numpy())
        return np.stack(found)


class Ours:
    """The detector on the blocks of one decode; its probabilities are kept before they become lanes."""

    def __init__(self, detector: Any) -> None:
        self._detector, self._last = detector, np.zeros(0, np.float32)
        inner = detector.probabilities

        def keeping(samples: Array) -> Array:
            self._last = inner(samples)
            return self._last

        detector.probabilities = keeping

    def answers(self, path: Path) -> Array:
        blocker, found = Blocker(self._detector.spec.plan, RATE), []

        def score(blocks: Iterator[Any]) -> None:
            for block in blocks:
                count = len(self._detector.scores(block).pooled(max_rate=100.0))
                by_frame = self._last.ndim == 3
                found.append(self._last[0, block.left // library.HOP :][:count] if by_frame else self._last)

        for block in audio_blocks(path, (RATE,), 5):
            score(blocker.push(block.mono[RATE]))
        score(blocker.finish())
        return np.concatenate(found)


def largest(network: runtime.Network, theirs: list[Array], ours: list[Array]) -> float:
    """The largest difference of a probability; the two decodes may end a packet apart, so the end is left out."""
    end = round(END_SECONDS * (1 if network.clip else RATE / library.HOP))
    differences = []
    for one, other in zip(theirs, ours, strict=True):
        count = min(len(one), len(other)) - end
        differences.append(float(np.abs(one[:count] - other[:count]).max()))
    return max(differences)


if __name__ == "__main__":
    main()

"""The figures of signal quality: each fault planted in real recordings, what is measured of it, and false alarms.

Needs a folder of recordings (--media or LPSE_MEDIA; ../shared/media by default). Prints, in this order: every measure
of every untouched file, and which lie outside the default recipe's bounds; each fault, planted in each file, written as
FLAC and as AAC, with what was measured beside what was planted; CPU time a minute of sound.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import soxr
from numpy.typing import NDArray

from curation.decision.measures import measure
from curation.detectors import ModelSetup
from curation.detectors.picture.detector import analyze_video
from curation.detectors.scorer import Scorer
from curation.media import MediaError, audio_blocks, frames, identify, write_media
from curation.runner.process import ONE_THREAD
from manifests.recipe import Bounds, MeasureName, load_recipe
from manifests.time import Segment, Timeline

HERE = Path(__file__).resolve()
DEFAULT_MEDIA = HERE.parents[3] / "shared" / "media"
SECONDS = 30.0  # of each file that faults are planted in
DROPOUT, TIMES = 0.1, np.arange(2.13, 28, 3.1)
COLUMNS: tuple[MeasureName, ...] = get_args(MeasureName)
Sound = NDArray[np.float32]
Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Fault:
    """`plant` puts it into (channels, n) at a rate; `measure` should then read `planted` within `tolerance`."""

    name: str
    measure: str
    planted: float
    tolerance: float
    plant: Callable[[Sound, int], Sound]
    codecs: tuple[str, ...] = ("flac", "aac")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, default=Path(os.environ.get("LPSE_MEDIA", DEFAULT_MEDIA)))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.here:  # in a process like a worker's: libraries that would spin up threads use one
        command = [sys.executable, "-m", f"tests.bench.{HERE.stem}", "--here", "--media", str(options.media)]
        sys.exit(subprocess.run(command, cwd=HERE.parents[2], env=os.environ | ONE_THREAD, check=False).returncode)
    paths = sorted(path for path in options.media.iterdir() if path.suffix in (".mp4", ".mkv", ".webm", ".wav"))
    if not paths:
        parser.error(f"{options.media}: no recordings; name the folder with --media or LPSE_MEDIA")
    scorer = Scorer(ModelSetup())
    heard = [path for path in untouched(paths, scorer) if path.stat().st_size]
    planted(heard, scorer)
    pictures([path for path in heard if identify(path).video_end])
    cost(heard, scorer)


# untouched files


def untouched(paths: list[Path], scorer: Scorer) -> list[Path]:
    """Print all measures of the files as they are; those that could be heard come back."""
    bounds = load_recipe("default").quality
    print(
        "\nUntouched files (a measure outside the default recipe's `accept` is marked with !, outside `keep` with !!)"
    )
    print(f"  {'':<26}" + "".join(f"{name.replace('_channels', '')[:13]:>14}" for name in COLUMNS))
    found, alarms, files = [], dict.fromkeys(COLUMNS, 0), 0
    for path in paths:
        values = measured(path, scorer)
        if values is None:
            print(f"  {path.name[:25]:<26} cannot be heard")
            continue
        found.append(path)
        files += 1
        cells = []
        for name in COLUMNS:
            value = values[name]
            mark = "" if name == "bandwidth_hz" and own_rate(path, value) else _mark(value, bounds.get(name))
            alarms[name] += bool(mark)
            cells.append("-" if value is None else f"{value:.4g}{mark}")
        print(f"  {path.name[:25]:<26}" + "".join(f"{cell:>14}" for cell in cells))
    print(f"  {'alarms in ' + str(files) + ' files':<26}" + "".join(f"{alarms[name]:>14}" for name in COLUMNS))
    return found


def own_rate(path: Path, bandwidth: float | None) -> bool:
    """Whether the sound fills the band of its sample rate: a low rate is no fault."""
    info = identify(path).info
    return bandwidth is not None and bool(info and info.audio and bandwidth >= 0.9 * info.audio.sample_rate / 2)


def _mark(value: float | None, bounds: Bounds | None) -> str:
    if value is None or bounds is None:
        return ""
    inside = [low <= value <= high for low, high in (bounds.accept, bounds.keep)]
    return "" if all(inside) else "!" if inside[1] else "!!"


def measured(path: Path, scorer: Scorer, picture: bool = True) -> Values | None:
    """All measures of a whole file, None when it has no sound."""
    identity = identify(path)
    if identity.duration is None or identity.problem:
        return None
    scores = dict(scorer.score(path, ["level", "signal"]).scores)
    whole = Segment(0.0, identity.duration)
    if picture and identity.video_end:
        scores["picture"] = analyze_video(path, Timeline([whole]), whole.duration)
    ends = identity.audio_end, identity.video_end
    difference = None if ends[0] is None or ends[1] is None else ends[0] - ends[1]
    return {**asdict(measure(scores, whole)), "av_difference": difference}


# faults of the sound


def clip(share: float) -> Callable[[Sound, int], Sound]:
    def plant(samples: Sound, rate: int) -> Sound:
        limit = np.quantile(np.abs(samples), 1 - share)
        return np.clip(samples, -limit, limit) * np.float32(0.7 / limit)

    return plant


def from_low(low: int) -> Callable[[Sound, int], Sound]:
    def plant(samples: Sound, rate: int) -> Sound:
        return np.asarray(soxr.resample(soxr.resample(samples.T, rate, low), low, rate).T, np.float32)

    return plant


def drop(held: bool) -> Callable[[Sound, int], Sound]:
    def plant(samples: Sound, rate: int) -> Sound:
        broken = samples.copy()
        for at in (TIMES * rate).astype(int).tolist():
            broken[:, at : at + round(DROPOUT * rate)] = samples[:, at - 1 : at] if held else 0
        return broken

    return plant


def stereo(second: Callable[[Sound], Sound]) -> Callable[[Sound, int], Sound]:
    """The first channel beside something made of it."""
    return lambda samples, rate: np.stack([samples[0], second(samples[0])])


PER_MINUTE = len(TIMES) * 60 / SECONDS
FAULTS = (
    Fault("gain -10 dB", "loudness_lufs", -10.0, 0.2, lambda samples, rate: samples * np.float32(10**-0.5)),
    Fault("clipped, 1 % of samples", "clipped", 0.01, 0.005, clip(0.01), ("flac",)),
    Fault("clipped, 10 % of samples", "clipped", 0.1, 0.05, clip(0.1), ("flac",)),
    Fault("brought up from 8 kHz", "bandwidth_hz", 4_000, 400, from_low(8_000)),
    Fault("brought up from 16 kHz", "bandwidth_hz", 8_000, 800, from_low(16_000)),
    Fault("offset 0.05", "dc", 0.05, 0.003, lambda samples, rate: samples + np.float32(0.05)),
    Fault("one channel dead", "dead_channels", 1, 0, stereo(np.zeros_like)),
    Fault("one channel copied", "copied_channels", 1, 0, stereo(np.copy)),
    Fault("one channel turned over", "mono_loss_db", 60, 30, stereo(np.negative)),
    Fault("dropouts of 100 ms, zeros", "dropouts", PER_MINUTE, 0.2 * PER_MINUTE, drop(held=False)),
    Fault("dropouts of 100 ms, held", "dropouts", PER_MINUTE, 0.2 * PER_MINUTE, drop(held=True)),
)


def planted(paths: list[Path], scorer: Scorer) -> None:
    """Plant each fault in each file, and print what is measured of it."""
    print(f"\nFaults planted in {SECONDS:g} s of {len(paths)} files: measured median (least to most), and files found")
    with tempfile.TemporaryDirectory() as folder:
        sounds = {path: excerpt(path) for path in paths}
        for fault in FAULTS:
            for codec in fault.codecs:
                values = [
                    one_planted(fault, samples, rate, Path(folder, f"planted{_SUFFIX[codec]}"), codec, scorer)
                    for samples, rate in sounds.values()
                    if not (fault.measure == "bandwidth_hz" and 2 * fault.planted >= rate)
                ]
                found = sum(abs(value - fault.planted) <= fault.tolerance for value in values)
                spread = f"{np.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"
                row(f"{fault.name}, {codec}", f"{fault.measure} {fault.planted:g}", spread, f"{found} of {len(values)}")


_SUFFIX = {"flac": ".flac", "aac": ".m4a"}


def row(*cells: str) -> None:
    print("  " + "".join(f"{cell:<{width}}" for cell, width in zip(cells, (38, 28, 38, 12), strict=False)), flush=True)


def one_planted(fault: Fault, samples: Sound, rate: int, target: Path, codec: str, scorer: Scorer) -> float:
    """What the fault's measure reads after planting; of loudness, by how much it changed."""

    def read(sound: Sound) -> float:
        write_media(target, audio=[sound.astype(np.float32)], sample_rate=rate, audio_codec=codec)
        values = measured(target, scorer, picture=False)
        value = None if values is None else values[fault.measure]
        return float("nan") if value is None else value

    broken = read(fault.plant(samples, rate))
    return broken - read(samples) if fault.measure == "loudness_lufs" else broken


def excerpt(path: Path) -> tuple[Sound, int]:
    """The first seconds after a late start, (channels, n) and the rate."""
    parts, rate = [], 0
    for block in audio_blocks(path, (), 5):
        rate = block.native_rate
        if any(gap[0] == 0 for gap in block.gaps):
            continue
        parts.append(block.native)
        if len(parts) * 5 >= SECONDS:
            break
    return np.concatenate(parts, axis=1), rate


# faults of the picture


def pictures(paths: list[Path]) -> None:
    """Freeze each file's picture, make slides of it, cut between files."""
    print("\nFaults of the picture, 24 s of each file")
    scenes = {path: [shown.image for shown in frames(path, 8, size=(320, 180), end=24.0)] for path in paths}
    of = list(scenes.values())

    def turns(number: int, each: int, moving: bool) -> Iterator[NDArray[np.uint8]]:
        for k in range(192):
            yield of[(number + k // each) % len(of)][k if moving else 40]

    kinds = (
        ("frozen", "still_share", 1.0, 192, False),
        ("slides of 3 s", "still_share", 1.0, 24, False),
        ("slides of 3 s", "scene_cuts", 7 * 60 / 24, 24, False),
        ("moving, a cut every 6 s", "scene_cuts", 3 * 60 / 24, 48, True),
        ("moving, uncut", "scene_cuts", 0.0, 192, True),
        ("moving", "still_share", 0.0, 192, True),
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "picture.mp4")
        for name, label, expected, each, moving in kinds:
            values = []
            for number in range(len(scenes)):
                write_media(target, frames=turns(number, each, moving), fps=8, video_options={"crf": "30", "g": "24"})
                scores = analyze_video(target, Timeline([Segment(0.0, 24.0)]), 24.0)
                values.append(asdict(measure({"picture": scores}, Segment(0.0, 24.0)))[label])
            found = sum(abs(value - expected) <= max(0.1 * expected, 0.05) for value in values)
            spread = f"{np.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"
            row(name, f"{label} {expected:g}", spread, f"{found} of {len(values)}")


# cost


def cost(paths: list[Path], scorer: Scorer) -> None:
    """CPU time a minute of sound; the least of three rounds."""
    print("\nCPU ms a minute of sound, decoding apart")
    spent: dict[str, list[float]] = {name: [] for name in ("decode", "level", "signal", "look")}
    for path in paths[:3]:
        minutes = (identify(path).duration or 0.0) / 60
        best = dict.fromkeys(spent, np.inf)
        for _ in range(3):
            decode = timed(lambda path=path: [None for _ in audio_blocks(path, (), 5)])  # type: ignore[misc]
            best["decode"] = min(best["decode"], decode)
            for name in ("level", "signal"):
                taken = timed(lambda path=path, name=name: scorer.score(path, [name]))  # type: ignore[misc]
                best[name] = min(best[name], taken - decode)
        whole = Timeline([Segment(0.0, minutes * 60)])
        try:
            best["look"] = timed(lambda path=path, whole=whole, m=minutes: analyze_video(path, whole, m * 60))  # type: ignore[misc]
        except MediaError:
            best["look"] = float("nan")
        for name, seconds in best.items():
            spent[name].append(1000 * seconds / minutes)
    for name, values in spent.items():
        row(name, f"{np.nanmean(values):.0f}")


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()

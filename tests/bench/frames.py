"""`make bench-frames`: what pictures for two encoders cost out of 1080p video, beside the plain ways of getting them.

Wanted are 8 pictures a second at 384 x 384 and 25 a second at 224 x 224, of a cut. The rivals: one pass that stacks
what it needs at full size and resizes the stack afterwards, and two passes, one for each encoder, that do the same.
All decode with one thread, take the same pictures and resize by the same routine; that the numbers are equal, bit for
bit, is checked. Each way runs in a process of its own, one after the other, several rounds: the ratio of CPU seconds is
the median over rounds, memory is what the process held at most beyond what it held before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from curation.media import frames_reaching, write_media
from curation.runner.process import ONE_THREAD
from features.encoders import FrameLayout
from features.encoders.frames import FrameRun, fitted, frames_of

HERE = Path(__file__).resolve()
SEEN, MOVING = FrameLayout(8, 384, "stretch"), FrameLayout(25, 224, "crop", 16, 8, 8)
WAYS = ("each as it comes", "one pass, stacked", "two passes, stacked")
ASKED, ASKED_MB = {"one pass, stacked": 1.5, "two passes, stacked": 2.2}, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, help="a video, in place of one made here")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measured(options.way, options.media, options.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        video = options.media or made(Path(folder) / "made.mp4", options.seconds)
        found: dict[str, list[tuple[float, float, str]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                found[way].append(apart(way, video, options.seconds))
    print(
        f"{options.seconds} s of {'1920 x 1080' if not options.media else options.media.name}, CPU seconds, one thread"
    )
    ours = [seconds for seconds, _, _ in found[WAYS[0]]]
    for way in WAYS:
        times = [seconds for seconds, _, _ in found[way]]
        ratio = statistics.median(theirs / our for theirs, our in zip(times, ours, strict=True))
        asked = f"  {ratio:.2f}x, asked >= {ASKED[way]}x" if way in ASKED else ""
        memory = max(megabytes for _, megabytes, _ in found[way])
        limit = "" if way in ASKED else f" (asked < {ASKED_MB})"
        print(f"{way:22} {statistics.median(times):6.2f} s  {memory:6.0f} MB{limit}{asked}")
    sums = {digest for rounds in found.values() for _, _, digest in rounds}
    print("equal bit for bit" if len(sums) == 1 else "NOT EQUAL")
    sys.exit(len(sums) != 1)


def made(path: Path, seconds: int) -> Path:
    """A camera that pans over a grainy scene, 1920 x 1080, 30 pictures a second."""
    rng = np.random.default_rng(1)
    wide = np.kron(rng.integers(0, 230, (30, 60, 3)), np.ones((40, 40, 1))).astype(np.uint8)
    grain = rng.integers(0, 25, (4, 1080, 1920, 3), np.uint8)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for k in range(30 * (seconds + 1)):
            left = 3 * k % 480
            yield wide[60:1140, left : left + 1920] + grain[k % 4]

    write_media(path, frames=pictures(), fps=30.0, video_options={"preset": "veryfast", "crf": "23"})
    return path


def apart(way: str, video: Path, seconds: int) -> tuple[float, float, str]:
    """CPU seconds, megabytes and a digest of the pictures, of a process that does only this."""
    command = [
        sys.executable,
        "-m",
        f"tests.bench.{HERE.stem}",
        "--way",
        way,
        "--media",
        str(video),
        "--seconds",
        str(seconds),
    ]
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(HERE.parents[2])}
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    cpu, megabytes, digest = json.loads(ran.stdout)
    return cpu, megabytes, digest


def measured(way: str, video: Path, seconds: int) -> tuple[float, float, str]:
    """What `apart` asks for, measured here."""
    torch.set_num_threads(1)
    runs = {"visual": FrameRun(SEEN, 0.0, 8 * seconds), "sync": FrameRun(MOVING, 0.0, 25 * seconds)}
    video.read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    held = peak_megabytes()
    began = time.process_time()
    digests = {name: hashlib.sha256() for name in runs}
    if way == "each as it comes":
        for name, picture, times in frames_of(video, runs):
            for _ in range(times):
                digests[name].update(picture.numpy().tobytes())
    elif way == "one pass, stacked":
        due = sorted((time, name) for name, run in runs.items() for time in run.times)
        stacks: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in runs}
        for indices, image in frames_reaching(video, [time for time, _ in due]):
            for index in indices:
                stacks[due[index][1]].append(image)
        for name, images in stacks.items():
            digests[name].update(resized_stack(images, runs[name].frames))
    else:
        for name, run in runs.items():
            images = [image for indices, image in frames_reaching(video, run.times) for _ in indices]
            digests[name].update(resized_stack(images, run.frames))
    cpu = time.process_time() - began
    return cpu, peak_megabytes() - held, "".join(digest.hexdigest() for digest in digests.values())


def peak_megabytes() -> float:
    """The most memory that this process held since the peak was last forgotten."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1e3


def resized_stack(images: list[NDArray[np.uint8]], wanted: FrameLayout) -> bytes:
    """As torch is usually given pictures: stacked, channels first."""
    stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    images.clear()
    return fitted(stack, wanted).numpy().tobytes()


if __name__ == "__main__":
    main()

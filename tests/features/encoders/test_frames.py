"""Pictures for encoders: out of one decode, resized one by one, equal to what a stack of all of them would give."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

import tests.support.media_files as files
from curation.media import frames_reaching, write_media
from features.encoders import FrameLayout
from features.encoders.frames import FrameBuffer, FrameRun, clip_starts, fitted, frames_of, resized

SEEN = FrameLayout(fps=8, side=96, fit="stretch")
MOVING = FrameLayout(fps=25, side=64, fit="crop", window=16, stride=8, vectors=8)


def noise(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures on which any difference in the arithmetic shows."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s of moving noise, 30 pictures a second."""
    path = tmp_path_factory.mktemp("pictures") / "film.mp4"
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 256, (360, 12, 16, 3), np.uint8).repeat(12, axis=1).repeat(12, axis=2)
    write_media(path, frames=blocks, fps=30.0)
    return path


@pytest.mark.parametrize("wanted", [SEEN, MOVING])
@pytest.mark.parametrize(("height", "width"), [(180, 320), (321, 179), (131, 131), (64, 113), (97, 64)])
def test_one_by_one_is_bit_for_bit_what_a_stack_gives(wanted: FrameLayout, height: int, width: int) -> None:
    images = noise(5, height, width)
    stack = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    together = fitted(stack, wanted)
    assert torch.equal(torch.stack([resized(image, wanted) for image in images]), together)
    assert together.shape == (5, 3, wanted.side, wanted.side) and together.dtype == torch.uint8


@pytest.mark.parametrize(
    ("width", "scaled", "left"),
    # offsets are rounded half to even, the long side is cut off: 17.5 is 18, 81.5 is 81
    [(161, 80, 18), (163, 81, 18), (90, 45, 0)],
)
def test_a_crop_takes_the_middle_at_the_short_sides_scale(width: int, scaled: int, left: int) -> None:
    image = np.zeros((90, width, 3), np.uint8)
    image[:, :, 0] = np.linspace(0, 255, width).astype(np.uint8)
    wanted = FrameLayout(fps=25, side=45, fit="crop")
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    whole = interpolate(pixels, size=(45, scaled), mode="bicubic", antialias=True)
    assert torch.equal(resized(image, wanted), whole[0, :, :, left : left + 45])
    tall = np.ascontiguousarray(image.swapaxes(0, 1))
    assert torch.equal(resized(tall, wanted), resized(image, wanted).transpose(1, 2))


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    image = noise(1, 64, 64)[0]
    assert torch.equal(resized(image, MOVING), torch.from_numpy(image).permute(2, 0, 1))


def collected(path: Path, runs: dict[str, FrameRun]) -> dict[str, Tensor]:
    """All pictures of each run."""
    found: dict[str, list[Tensor]] = defaultdict(list)
    for name, picture, times in frames_of(path, runs):
        found[name] += [picture] * times
    return {name: torch.stack(pictures) for name, pictures in found.items()}


def test_all_runs_come_out_of_one_pass_as_each_would_alone(film: Path) -> None:
    runs = {
        "visual": FrameRun(SEEN, 1.2, 64),
        "sync": FrameRun(MOVING, 1.2, 200),
        "tail": FrameRun(MOVING, 3.937, 200),
        "small": FrameRun(FrameLayout(8, MOVING.side, "stretch"), 1.2, 64),
    }
    together = collected(film, runs)
    for name, run in runs.items():
        assert torch.equal(together[name], collected(film, {name: run})[name])
        assert len(together[name]) == run.count
    images = [image for indices, image in frames_reaching(film, runs["sync"].times) for _ in indices]
    stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    assert torch.equal(together["sync"], fitted(stack, MOVING))


def test_a_slow_film_repeats_its_pictures_and_a_short_one_its_last(tmp_path: Path) -> None:
    path = tmp_path / "slow.mp4"
    write_media(path, frames=files.numbered_frames(20), fps=5.0)
    wanted = FrameLayout(fps=25, side=32, fit="stretch")
    shown = collected(path, {"sync": FrameRun(wanted, 0.0, 150)})["sync"]
    numbers = [files.number(picture.permute(1, 2, 0).numpy()) for picture in shown]
    assert numbers == [min(19, -(-k // 5)) for k in range(150)]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 6), st.integers(0, 120))
def test_chunks_hold_each_window_once(window: int, stride: int, windows: int, count: int) -> None:
    pictures = FrameLayout(fps=25, side=1, fit="stretch", window=max(window, stride), stride=stride)
    chunks = FrameBuffer(pictures, windows)
    found: list[int] = []
    for number in range(count):
        for chunk in chunks.push(torch.full((3, 1, 1), number % 256, dtype=torch.uint8)):
            found += first_of_each(chunk, pictures)
    for chunk in chunks.finish():
        found += first_of_each(chunk, pictures)
    assert found == [k * stride for k in range(pictures.length(count))]


def first_of_each(chunk: Tensor, pictures: FrameLayout) -> list[int]:
    """The number of the first picture of each window."""
    numbers = chunk[:, 0, 0, 0].tolist()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return numbers[: len(numbers) - pictures.window + 1 : pictures.stride]


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [(7.999, []), (8.0, [0]), (8.001, [0, 0.001]), (60.0, [0, 8, 16, 24, 32, 40, 48, 52]), (16.0, [0, 8])],
)
def test_clips_follow_each_other_and_the_last_ends_with_the_cut(seconds: float, starts: list[float]) -> None:
    assert clip_starts(10.0, 10.0 + seconds, 8) == pytest.approx([10.0 + start for start in starts])


MEMORY = """
import resource, sys
import numpy as np, torch
from features.encoders import FrameLayout
from features.encoders.frames import FrameRun, frames_of
runs = {
    "visual": FrameRun(FrameLayout(8, 384, "stretch"), 0.0, 8 * int(sys.argv[2])),
    "sync": FrameRun(FrameLayout(25, 224, "crop", 16, 8, 8), 0.0, 25 * int(sys.argv[2])),
}
for _ in frames_of(sys.argv[1], runs):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    picture = noise(4, 360, 640)
    write_media(path, frames=(picture[k % 4] for k in range(30 * 24)), fps=30.0, video_options={"preset": "ultrafast"})
    peaks = []
    for seconds in (2, 24):
        ran = subprocess.run(
            [sys.executable, "-c", MEMORY, str(path), str(seconds)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        peaks.append(int(ran.stdout))
    assert peaks[1] - peaks[0] < 40_000, "kB; the sync frames alone would be 90 MB"

"""The motion descriptor on pictures whose motion is known: which way, where, how much, and in which vector."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from curation.backends.weights import ModelSetup
from features.encoders.motion import CHUNK, DIMENSION, LAYOUT, Motion, changes, spec

SIDE = 96
ENERGY, LEVEL, RIGHT, DOWN, RISE = (slice(16 * k, 16 * k + 16) for k in range(5))
BRIGHTER, DARKER, CHANGED, CB, CR, CENTRE_X, CENTRE_Y = 84, 85, 86, 87, 88, 89, 90
WHOLE_RIGHT, WHOLE_DOWN, DIVERGENCE, TURN, APART = 91, 92, 93, 94, 95


@pytest.fixture(scope="module")
def encoder() -> Motion:
    return Motion(ModelSetup())


def noise(count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)


def still(count: int) -> Tensor:
    return texture()[None].expand(count, 3, SIDE, SIDE).clone()


def texture() -> Tensor:
    """A cloudy picture, uint8 (3, 96, 96)."""
    coarse = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    return (F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")[0].clamp(0, 1) * 255).round().to(torch.uint8)


def film(count: int, where: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]) -> Tensor:
    """Pictures of an endless pattern; `where` says which place of it each pixel of picture f sees."""
    down, right = torch.meshgrid(torch.arange(SIDE) - 47.5, torch.arange(SIDE) - 47.5, indexing="ij")
    pictures = []
    for f in range(count):
        x, y = where(right, down, f)
        pattern = torch.sin(x / 5) * torch.cos(y / 6) + torch.sin((x + y) / 7) + torch.cos((x - 2 * y) / 11)
        pictures.append((128 + 40 * pattern).round().clamp(0, 255).to(torch.uint8)[None].expand(3, SIDE, SIDE))
    return torch.stack(pictures)


def square(count: int, right: int, down: int) -> Tensor:
    """A bright square of 16 pixels on grey, which moves from the middle by so many pixels a picture."""
    pictures = torch.full((count, 3, SIDE, SIDE), 60, dtype=torch.uint8)
    for f in range(count):
        x, y = 40 + right * (f - count // 2), 40 + down * (f - count // 2)
        pictures[f, :, y : y + 16, x : x + 16] = 220
    return pictures


def test_the_clock_is_synchformer_s() -> None:
    one = spec(ModelSetup())
    assert (one.rate, one.length, one.dimension) == (25.0, 192, DIMENSION)
    assert (LAYOUT.fps, LAYOUT.window, LAYOUT.stride, LAYOUT.vectors) == (25, 16, 8, 8)
    assert [LAYOUT.length(n) for n in (15, 16, 23, 24, 200, 1500)] == [0, 8, 8, 16, 192, 1488]


def test_a_still_picture_gives_zeros(encoder: Motion) -> None:
    found = encoder.encode(still(24))
    assert found.shape == (16, DIMENSION) and found.dtype == torch.float32
    assert torch.equal(found, torch.zeros(16, DIMENSION))


@pytest.mark.parametrize(("right", "down"), [(0.5, 0.0), (1.0, 0.0), (-3.0, 1.0), (0.0, -5.0), (8.0, 0.0)])
def test_a_pan_gives_its_displacement(right: float, down: float) -> None:
    pictures = film(17, lambda x, y, f: (x - right * f, y - down * f))
    found = changes(pictures)["whole"] * SIDE
    expected = torch.tensor([right, down]).expand(16, 2)
    torch.testing.assert_close(found, expected, atol=0.1 + 0.08 * max(abs(right), abs(down)), rtol=0)


@pytest.mark.parametrize(("right", "down"), [(2, 0), (-2, 0), (0, 2), (0, -2)])
def test_a_moving_square_gives_its_direction(encoder: Motion, right: int, down: int) -> None:
    vectors = encoder.encode(square(16, right, down))
    moved = torch.stack([vectors[:, RIGHT].mean(1), vectors[:, DOWN].mean(1)], dim=1)
    along = moved @ torch.tensor([right, down], dtype=torch.float32) / 2
    across = (moved @ torch.tensor([down, right], dtype=torch.float32) / 2).abs()
    assert bool((along > 0.02).all())
    assert bool((across < along / 4).all())
    assert bool((vectors[:, APART] > 0.05).all())  # it moves before a background that does not


def test_energy_level_and_centre_say_where_it_changes(encoder: Motion) -> None:
    pictures = still(16)
    pictures[6:, :, 48:72, 72:] = 255  # the cell of the third row and the fourth column lights up
    vector = encoder.encode(pictures)[3]
    cell = 2 * 4 + 3
    assert vector[ENERGY].argmax() == cell and vector[ENERGY].count_nonzero() == 1
    assert vector[LEVEL].argmax() == cell and vector[LEVEL].count_nonzero() == 1
    assert vector[CENTRE_X] == pytest.approx(0.75) and vector[CENTRE_Y] == pytest.approx(0.25)
    assert vector[BRIGHTER] > 0 and vector[DARKER] == 0
    assert 0 < vector[CHANGED] <= 1 / 32 + 1e-6  # one cell of 16, in one of two changes


def test_light_going_on_is_no_motion(encoder: Motion) -> None:
    pictures = still(16) // 2
    pictures[7:] += 100
    vector = encoder.encode(pictures)[3]
    assert vector[82] == 0 and vector[83] > 0.7  # level of the change into picture 6, and into 7
    assert vector[RISE].min() > 0.7
    assert vector[RIGHT].abs().max() < 0.01 and vector[DOWN].abs().max() < 0.01
    darker = encoder.encode(pictures.flip(0))
    assert darker[:, 82:84].min() < -0.7 and darker[:, DARKER].max() > 0.6 and darker[:, BRIGHTER].max() == 0


def test_a_change_of_colour_alone_is_seen(encoder: Motion) -> None:
    pictures = torch.empty((16, 3, SIDE, SIDE), dtype=torch.uint8)
    pictures[:8] = torch.tensor([150, 100, 100], dtype=torch.uint8)[:, None, None]
    pictures[8:] = torch.tensor([100, 125, 104], dtype=torch.uint8)[:, None, None]  # of the same luma
    vector = encoder.encode(pictures)[4]
    assert vector[ENERGY].max() < 0.1 < 0.4 < vector[CR]
    assert 0 < vector[CB] < vector[CR]


@pytest.mark.parametrize(("scale", "angle"), [(1.02, 0.0), (0.98, 0.0), (1.0, 0.02), (1.0, -0.02)])
def test_divergence_and_turn(encoder: Motion, scale: float, angle: float) -> None:
    turn = torch.tensor(angle)

    def where(x: Tensor, y: Tensor, f: int) -> tuple[Tensor, Tensor]:
        # a picture that grows and turns clockwise (y points down) sees what lay nearer the middle, and before
        cos, sin = (turn * f).cos(), (turn * f).sin()
        return (x * cos + y * sin) / scale**f, (y * cos - x * sin) / scale**f

    pictures = film(16, where)
    vectors, found = encoder.encode(pictures), changes(pictures)
    # displacement at a distance of half the side, as a share of the side
    torch.testing.assert_close(found["divergence"].mean(), torch.tensor((scale - 1) / 2), atol=2e-3, rtol=0)
    torch.testing.assert_close(found["turn"].mean(), torch.tensor(angle / 2), atol=2e-3, rtol=0)
    which, sign = (DIVERGENCE, scale - 1) if angle == 0 else (TURN, angle)
    assert bool((vectors[:, which] * sign > 0).all())
    assert bool((vectors[:, [WHOLE_RIGHT, WHOLE_DOWN]].abs() < 0.03).all())


@pytest.mark.parametrize("event", [16, 17, 21, 22, 23, 24, 31])
def test_a_change_is_in_the_vectors_that_cover_it(encoder: Motion, event: int) -> None:
    pictures = still(40)
    calm = encoder.encode(pictures)
    pictures[event:] = texture().flip(2)
    found = encoder.encode(pictures)
    different = {k for k in range(len(found)) if not torch.equal(found[k], calm[k])}
    covering = {
        8 * j + k for j in range(4) for k in range(8) if event in (8 * j + 2 * k, 8 * j + 2 * k + 1) and event != 8 * j
    }
    assert covering and different == covering


def test_a_flash_of_one_picture_goes_out_with_the_next(encoder: Motion) -> None:
    pictures = still(16)
    pictures[6] = 255
    assert encoder.encode(pictures).abs().sum(1).nonzero().flatten().tolist() == [3]
    pictures = still(16)
    pictures[7] = 255
    assert encoder.encode(pictures).abs().sum(1).nonzero().flatten().tolist() == [3, 4]


def test_slices_equal_clips_one_by_one(encoder: Motion) -> None:
    pictures = noise(CHUNK + 24)
    whole = encoder.encode(pictures)
    for start in (0, 80):
        assert torch.equal(encoder.encode(pictures[start : start + 200]), whole[start : start + 192])
    assert torch.equal(encoder.encode(pictures[248:264]), whole[248:256])
    # what makes no whole window is left out
    assert torch.equal(encoder.encode(pictures[:23]), whole[:8])
    assert encoder.encode(pictures[:15]).shape == (0, DIMENSION)


def test_whatever_is_seen_stays_within_bounds(encoder: Motion) -> None:
    black_and_white = torch.zeros((32, 3, SIDE, SIDE), dtype=torch.uint8)
    black_and_white[::2] = 255
    black_and_white[:, :, ::2] = 255 - black_and_white[:, :, ::2]
    for pictures in (noise(32), black_and_white, square(32, 1, 1)):
        found = encoder.encode(pictures)
        assert bool(found.isfinite().all()) and found.abs().max() <= 1


def test_noise_of_a_camera_is_hardly_motion(encoder: Motion) -> None:
    generator = torch.Generator().manual_seed(5)
    pictures = still(64).float() + 5 * torch.randn((64, 3, SIDE, SIDE), generator=generator)
    vectors = encoder.encode(pictures.round().clamp(0, 255).to(torch.uint8))
    assert vectors[:, RIGHT].abs().mean() < 0.01 and vectors[:, DOWN].abs().mean() < 0.01
    panned = encoder.encode(film(64, lambda x, y, f: (x - f, y)))
    assert panned[:, RIGHT].mean() > 0.1


@pytest.mark.parametrize(
    ("frames", "given"),
    [
        (torch.zeros(16, 3, 96, 96), r"torch\.float32"),
        (torch.zeros(16, 3, 224, 224, dtype=torch.uint8), r"\(16, 3, 224, 224\)"),
        (torch.zeros(3, 96, 96, dtype=torch.uint8), r"\(3, 96, 96\)"),
    ],
)
def test_other_pictures_are_refused(encoder: Motion, frames: Tensor, given: str) -> None:
    with pytest.raises(ValueError, match=f"^motion: frames are .*{given}"):
        encoder.encode(frames)

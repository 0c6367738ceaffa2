"""The training run: resumable, with validation, hard negatives by rounds, and a log of every figure."""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from manifests.errors import LpseError
from manifests.files import write_beside
from manifests.identity import digest

from ..network.export import NotExportedError, read_onnx
from ..network.network import LEVEL_SCALE, Output, PurityNetwork
from .data import Batch, Scenes, batches
from .hard_negatives import weighed_again
from .settings import TrainSettings
from .validation import Validation

CHECKPOINT, BEST, LOG = "checkpoint.pt", "best.pt", "log.jsonl"
PRUDENT = 20  # dB: the largest level that counts


class TrainingError(LpseError):
    """A run that cannot go on; the message names the folder and the cure."""


@dataclass
class _State:
    """All that changes during a run."""

    step: int = 0
    best: float = -1.0
    factors: dict[str, float] = field(default_factory=dict)


def run_weights(path: Path) -> dict[str, Tensor]:
    """The averaged network in a run's `best.pt` or `checkpoint.pt`, or that of an exported `.onnx` file.

    Raises TrainingError for any other file.
    """
    if path.suffix == ".onnx":
        try:
            return read_onnx(path)
        except NotExportedError as error:
            raise TrainingError(str(error)) from error
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return dict(saved["averaged" if "averaged" in saved else "network"])
    except (OSError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path}: holds no purity network ({str(error).splitlines()[0]})") from error


def plain(settings: TrainSettings) -> dict[str, Any]:
    """The settings as JSON takes them."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return values


def loss_of(out: Output, batch: Batch, level_weight: float) -> Tensor:
    """Binary cross-entropy of what is present, and the error of the levels where something is."""
    cross = functional.binary_cross_entropy_with_logits(out.log_odds, batch.present, reduction="none")
    presence = (cross * batch.weights).sum() / batch.weights.sum().clamp(min=1)
    known = batch.levels.isfinite()  # people's labels have no levels
    wanted = batch.levels.nan_to_num().clamp(-PRUDENT, PRUDENT) / LEVEL_SCALE
    apart = functional.smooth_l1_loss(out.levels, wanted, reduction="none") * batch.present * batch.weights * known
    return presence + level_weight * apart.sum() / batch.present.sum().clamp(min=1)


class PurityTraining:
    """One run in a folder: `folder/checkpoint.pt` to go on from, `best.pt` by validation, `log.jsonl`."""

    def __init__(
        self,
        folder: Path,
        pool: Path,
        settings: TrainSettings,
        start: Mapping[str, NDArray[np.float32]] | Mapping[str, Tensor] | None,
        device: str = "cpu",
        annotated: Path | None = None,
    ) -> None:
        """Prepare a run, or take one up again.

        `start`: the tensors of a YAMNet checkpoint, or the network of a finished run (`run_weights`). `annotated`: a
        folder of examples from people's annotations (`annotated.write_judged`), a share of each batch. Raises
        TrainingError if the folder holds a run with other settings, or the weights to start from are missing.
        """
        self.folder, self.pool, self.settings, self.device = folder, pool, settings, device
        self.annotated = annotated
        folder.mkdir(parents=True, exist_ok=True)
        self.key = digest("purity run", plain(settings))
        torch.manual_seed(settings.seed)
        self.network = PurityNetwork(settings.sizes).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if settings.start != "random" and start is None:
            raise TrainingError(f"the settings start from {settings.start}, and no weights of it are given")
        if settings.start == "yamnet":
            self.network.body.load_yamnet(cast(Mapping[str, NDArray[np.float32]], start))
        elif settings.start == "run":
            try:
                self.network.load_state_dict(cast(Mapping[str, Tensor], start))
            except RuntimeError as error:
                raise TrainingError("the weights to start from are of a network of other sizes") from error
        self.averaged = PurityNetwork(settings.sizes).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged.load_state_dict(self.network.state_dict())
        fixed = self.network.body.frozen_below(settings.frozen) if settings.start != "random" else []
        for parameter in fixed:
            parameter.requires_grad_(False)
        body = [p for p in self.network.body.parameters() if p.requires_grad]
        known = set(map(id, self.network.body.parameters()))
        rest = [p for p in self.network.parameters() if id(p) not in known]
        self._peaks = (settings.body_learning_rate, settings.learning_rate)
        self.optimizer = torch.optim.AdamW(
            [{"params": body}, {"params": rest}], lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.state = _State()
        self._resume()

    def run(self, workers: int = 1, progress: Callable[[int, int, float], None] | None = None) -> None:
        """Train to the last step. `progress` gets the step, the number of steps and the loss."""
        settings = self.settings
        validation = Validation(
            self.pool, "val", settings.frames, pure=settings.validation_pure, each=settings.validation_each
        )
        for number in range(settings.rounds):
            end = settings.steps * (number + 1) // settings.rounds
            if self.state.step >= end:
                continue
            scenes = Scenes(
                self.pool, "train", settings.seed, settings.frames,
                (end - self.state.step) * settings.batch, settings.mix, dict(self.state.factors),
                self.state.step * settings.batch, self.annotated, settings.annotated,
            )  # fmt: skip
            began = time.monotonic()
            for batch in batches(scenes, settings.batch, workers):
                loss = self._step(batch)
                if progress:
                    progress(self.state.step, settings.steps, loss)
                if self.state.step % 10 == 0:
                    per_step = (time.monotonic() - began) / 10
                    self._note(
                        {"step": self.state.step, "loss": round(loss, 5), "seconds_per_step": round(per_step, 3)}
                    )
                    began = time.monotonic()
                if self.state.step % settings.validate_every == 0 or self.state.step == settings.steps:
                    self._validate(validation)
                    began = time.monotonic()
                if self.state.step % settings.checkpoint_every == 0:
                    self._save()
            if end < settings.steps:
                self.state.factors = weighed_again(
                    self.averaged, self.pool, self.state.factors, settings.hard_factor, self.device
                )
                self._note({"step": self.state.step, "hard": len(self.state.factors)})
            self._save()

    def _step(self, batch: Batch) -> float:
        settings = self.settings
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * _rate(self.state.step, settings)
        self.network.train()
        on_device = Batch(*(part.to(self.device).float() for part in batch))
        out = self.network(on_device.mel, on_device.fine)
        loss = loss_of(out, on_device, settings.level_weight)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.state.step += 1
        keep = min(settings.average, (1 + self.state.step) / (10 + self.state.step))
        with torch.no_grad():
            for mean, now in zip(self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - keep)
                else:
                    mean.copy_(now)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"{self.folder}: the loss is {value} at step {self.state.step}: lower the learning rates"
            )
        return value

    def _validate(self, validation: Validation) -> None:
        figures = validation.figures(self.averaged, self.device)
        self._note({"step": self.state.step, "validation": {name: round(value, 4) for name, value in figures.items()}})
        if figures["mean"] >= self.state.best:
            self.state.best = figures["mean"]
            _save_beside(
                self.folder / BEST,
                {
                    "network": self.averaged.state_dict(),
                    "figures": figures,
                    "key": self.key,
                    "step": self.state.step,
                    "settings": plain(self.settings),
                },
            )

    def _save(self) -> None:
        saved = {
            "key": self.key, "step": self.state.step, "best": self.state.best, "factors": self.state.factors,
            "network": self.network.state_dict(), "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(), "random": torch.get_rng_state(),
        }  # fmt: skip
        _save_beside(self.folder / CHECKPOINT, saved)

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        saved = torch.load(path, map_location=self.device, weights_only=True)
        if saved["key"] != self.key:
            raise TrainingError(f"{self.folder}: holds a run with other settings; name another folder")
        self.network.load_state_dict(saved["network"])
        self.averaged.load_state_dict(saved["averaged"])
        self.optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["random"].cpu())
        self.state = _State(saved["step"], saved["best"], dict(saved["factors"]))

    def _note(self, row: dict[str, Any]) -> None:
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")


def _rate(step: int, settings: TrainSettings) -> float:
    """The learning rate as a share of its peak: linear warm-up, then a cosine to zero."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _save_beside(path: Path, values: Mapping[str, Any]) -> None:
    with write_beside(path) as file:
        torch.save(dict(values), file)

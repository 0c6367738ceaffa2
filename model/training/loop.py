"""The training loop: steps, log, validation, checkpoints; in one process or in several."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curation.runner.progress import Progress, ProgressCallback
from features.cache import FeatureCache
from features.encoders import ModelSetup
from manifests.lock import exclusive

from ..adapters import Adapters, save_adapters
from ..errors import ModelError
from ..mmaudio import BASES, MMAudio, base_hash, save_base
from . import checkpoint
from . import run_folder as folder
from .batching import BatchOrder, Steps
from .checkpoint import State, averaged_weights
from .curves import draw_curves
from .data import Batch, TrainingClips, batches, cuts_of
from .ema import WeightAverage
from .initial import ENCODERS, InitialBase, encoders_of, fresh, from_file, measure, measure_adapters
from .nonfinite import bad_batch, clips_in, explain_oom
from .objective import Objective, trainable, weighted
from .optimizer import adamw, set_rates
from .schedule import factor
from .settings import TrainingSettings
from .stopping import Stopping
from .validate import SeamValidator, ValidationLoss

_NEEDED = ("accelerate", "tensorboard", "matplotlib")


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training: `steps` done, `new` of them by this call, the last loss and the last validation."""

    folder: Path
    steps: int
    new: int
    loss: float | None
    validation: Mapping[str, float]


def train(
    cache: FeatureCache,
    out: Path | str,
    base: InitialBase | Path | str,
    settings: TrainingSettings | None = None,
    setup: ModelSetup | None = None,
    *,
    device: str = "cpu",
    validate_seams: SeamValidator | None = None,
    on_progress: ProgressCallback | None = None,
) -> TrainingResult:
    """Train in the folder `out` up to `settings.steps`, from the start or from the newest checkpoint there.

    `base`: one from `from_file` or `fresh`, or the path of a base, or the size of a new one. Started by `accelerate
    launch` or `torchrun`, this process is one of several. `setup`: the model files of the text encoder. Raises
    ModelError, in one line, for inputs that do not fit together and for a loss that is NaN or infinite;
    KeyboardInterrupt after SIGINT or SIGTERM, once a checkpoint is written.
    """
    accelerator = _accelerator(device)
    out, settings = Path(out), settings or TrainingSettings()
    initial = base if isinstance(base, InitialBase) else _initial(base, cache, settings)
    facts = folder.facts_of(cache, initial.name)
    folder.check_begun(out, settings, facts)
    main = bool(accelerator.is_main_process)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(out / "run.lock", "training") if main else nullcontext():
            training = _Training(cache, out, settings, initial, setup or ModelSetup(), accelerator, validate_seams)
            accelerator.wait_for_everyone()  # all have checked the folder before it is written to
            if main:
                folder.begin(out, settings, facts)
            return training.run(on_progress)
    finally:
        accelerator.end_training()


def _initial(base: Path | str, cache: FeatureCache, settings: TrainingSettings) -> InitialBase:
    if isinstance(base, str) and base in BASES:
        return fresh(base, cache, settings.seed)
    return from_file(Path(base), cache)


def _accelerator(device: str) -> Any:
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ModelError(f"training needs {', '.join(missing)}: pip install 'lpse[train]'")
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    # the graph is static: some weights of the last joint block never get a gradient
    shared = DistributedDataParallelKwargs(static_graph=True, broadcast_buffers=False, gradient_as_bucket_view=True)
    # types are chosen here, by `precision`: a launcher's configuration must not add its own
    return Accelerator(cpu=device == "cpu", mixed_precision="no", kwargs_handlers=[shared])


class _Training:
    """One process's part of a training."""

    def __init__(
        self,
        cache: FeatureCache,
        out: Path,
        settings: TrainingSettings,
        initial: InitialBase,
        setup: ModelSetup,
        accelerator: Any,
        seams: SeamValidator | None,
    ) -> None:
        self._cache, self._out, self._settings, self._accelerator = cache, out, settings, accelerator
        self._base_name, self._seams = initial.name, seams
        self._main, self._device = bool(accelerator.is_main_process), accelerator.device
        rank, world = accelerator.process_index, accelerator.num_processes
        cuts = _cuts(cache, settings, settings.splits)
        self._order = BatchOrder(cuts, settings.batch, settings.clips_a_cut, settings.seed, rank, world)
        config = initial.base.config
        chosen = settings.adapters if settings.has_adapters else None
        self._data = TrainingClips(cache, chosen, config.version, settings.null, settings.seed, settings.times)
        self._validation = None
        if settings.validation.every:
            held_out = [clip for cut in _cuts(cache, settings, (settings.validation.split,)) for clip in cut]
            limit = settings.validation.clips
            self._validation = ValidationLoss(self._data, held_out, limit, settings.batch, rank, world)
        initial.base.checkpointing = settings.checkpointing
        self._fresh = initial.name.startswith("fresh ")
        if self._fresh and not checkpoint.checkpoints(out / folder.CHECKPOINTS):
            measure(initial.base, cache, [clip for cut in cuts for clip in cut], setup)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            adapters = None if chosen is None else Adapters(config, chosen)
        if adapters is not None:
            measure_adapters(adapters, cache, [clip for cut in cuts for clip in cut])
        self._objective = Objective(initial.base, adapters, settings.trains_base, settings.precision, settings.ends)
        model, optimizer = accelerator.prepare(self._objective, adamw(self._objective, settings))
        self._model, self._optimizer = model, optimizer.optimizer
        self._rate, self._timed, self._seconds = 0.0, 0, 0.0
        self._state = State(model, self._optimizer, WeightAverage(trainable(model), settings.ema), settings.trains_base)
        checkpoint.load(out / folder.CHECKPOINTS, self._state)

    def run(self, on_progress: ProgressCallback | None) -> TrainingResult:
        """Run the missing steps."""
        settings, state, first = self._settings, self._state, self._state.step
        if first < settings.steps:
            self._log = folder.RunLog(self._out, first) if self._main else None
            try:
                self._steps(on_progress)
            finally:
                if self._log is not None:
                    self._log.close()
        records = folder.read_log(self._out)
        losses = [record["loss"] for record in records if "loss" in record]
        validations = [record for record in records if "validation_loss" in record]
        last = {name: value for name, value in validations[-1].items() if name != "step"} if validations else {}
        return TrainingResult(self._out, state.step, state.step - first, losses[-1] if losses else None, last)

    def _steps(self, on_progress: ProgressCallback | None) -> None:
        settings, state = self._settings, self._state
        on_gpu = self._device.type == "cuda"
        plans = Steps(self._order, state.step, settings.steps)
        ahead = batches(self._data, plans, settings.workers if on_gpu else 0, pinned=on_gpu)
        with Stopping() as stopping:
            since = time.perf_counter()
            for batch in ahead:
                stop, loss = self._step(batch, stopping.requested)
                self._timed, self._seconds = self._timed + 1, self._seconds + time.perf_counter() - since
                ended = state.step == settings.steps
                if state.step % settings.log_every == 0 or ended:
                    self._write_line(batch.plan.epoch)
                every = settings.validation.every
                if every and (state.step % every == 0 or ended):
                    self._validate()
                elif ended:
                    self._write_weights()
                if state.step % settings.checkpoint_every == 0 or ended or stop:
                    self._checkpoint()
                if on_progress and self._main:
                    on_progress(
                        Progress("train", state.step, settings.steps, "items", settings.steps, (f"loss {loss:.4f}",))
                    )
                if stop and not ended:
                    raise KeyboardInterrupt
                since = time.perf_counter()

    def _step(self, batch: Batch, stopping: bool) -> tuple[bool, float]:
        """Run one step; returns whether any process got a signal to stop, and the loss."""
        settings, state, accelerator = self._settings, self._state, self._accelerator
        self._rate = set_rates(self._optimizer, factor(settings.schedule, state.step, settings.steps))
        with explain_oom(settings, state.step):
            batch = batch.to(self._device)
            losses = self._model(batch)
            part = weighted(losses, batch.weight)
            accelerator.backward(part)
            norm = accelerator.clip_grad_norm_(self._model.parameters(), settings.optimizer.clip_norm)
            requested = torch.tensor(float(stopping), device=self._device)
            loss, stop = self._mean(torch.stack([part.detach(), requested])).tolist()
            if not (math.isfinite(loss) and math.isfinite(float(norm))):
                self._stop_at(batch, losses.detach(), loss, float(norm))
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        state.average.update()
        state.step += 1
        state.losses, state.norms = (*state.losses, loss), (*state.norms, float(norm))
        return stop > 0, loss

    def _mean(self, values: Tensor) -> Tensor:
        """Mean over processes."""
        mean: Tensor = self._accelerator.reduce(values, "mean")
        return mean

    def _stop_at(self, batch: Batch, losses: Tensor, loss: float, norm: float) -> None:
        from accelerate.utils import gather_object

        seed = self._settings.seed
        counted = batch.plan.weights[0] > 0
        clips = gather_object(clips_in(self._cache, batch.plan, losses, seed) if counted else [])
        if self._main:
            raise ModelError(bad_batch(self._out, batch.plan, seed, loss, norm, clips))
        raise ModelError(f"step {batch.plan.step}: stopped with the first process")

    def _write_line(self, epoch: int) -> None:
        state = self._state
        record = {
            "step": state.step,
            "epoch": epoch,
            "loss": sum(state.losses) / len(state.losses),
            "lr": self._rate,
            "grad_norm": sum(state.norms) / len(state.norms),
            "clips_per_second": self._timed * self._settings.batch / self._seconds,
        }
        state.losses, state.norms = (), ()
        self._timed, self._seconds = 0, 0.0
        if self._log is not None:
            self._log.add(record)

    def _validate(self) -> None:
        """Validate the averaged weights and write them."""
        assert self._validation is not None
        record: folder.Record = {"step": self._state.step}
        with self._state.average.applied():
            record["validation_loss"] = self._validation(self._model, self._device, self._mean)
            if self._seams is not None:
                objective = self._accelerator.unwrap_model(self._model)
                with torch.no_grad():
                    record |= self._seams(objective.base, objective.adapters)
        if self._log is not None:
            self._log.add(record)
        self._write_weights()

    def _write_weights(self) -> None:
        """Write the averaged weights as files for generation, and the curves so far."""
        settings, objective = self._settings, self._accelerator.unwrap_model(self._model)
        weights = averaged_weights(self._state, frozen=settings.trains_base)
        if not self._main:
            return
        facts = {"step": self._state.step, "settings": settings.values(), ENCODERS: encoders_of(self._cache.spec)}
        base_name = self._base_name
        with torch.device("meta"):  # shapes alone: values follow
            base = MMAudio(objective.base.config)
            adapters = Adapters(objective.base.config, settings.adapters)
        if settings.trains_base:
            base.load_state_dict(_under("base.", weights), assign=True)
            save_base(base, self._out / folder.BASE, facts)
            base_name = base_hash(base)
        if settings.has_adapters:
            adapters.load_state_dict(_under("adapters.", weights), assign=True)
            save_adapters(adapters, self._out / folder.ADAPTERS, base_name, facts)
        draw_curves(self._out, folder.read_log(self._out))

    def _checkpoint(self) -> None:
        if self._log is not None:
            self._log.to_disk()
        checkpoint.save(self._out / folder.CHECKPOINTS, self._state, self._main)


def _cuts(cache: FeatureCache, settings: TrainingSettings, splits: tuple[str, ...]) -> list[range]:
    """The clips of the splits' cuts. Raises ModelError for a split without cuts."""
    cuts = []
    for split in dict.fromkeys(splits):
        own = cuts_of(cache, split, settings.require_video)
        if not own:
            video = " with video" if settings.require_video else ""
            hint = "; set validation.every = 0 to do without" if split == settings.validation.split else ""
            raise ModelError(f"{cache.path}: split {split} has no cut{video}{hint}")
        cuts += own
    return cuts


def _under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in weights.items() if name.startswith(prefix)}

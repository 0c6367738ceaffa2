"""The folder of a run: its settings, its log, its weights.

```
settings.toml           every setting, resolved
run.json                the features and the base it started with
log.jsonl               a line every few steps, and one per validation
events/                 the same for TensorBoard
curves.png              the same as a plot
checkpoints/            to resume from
adapters.safetensors    averaged weights at the last validation
base.safetensors        the same of the base, if it is trained
bad_batch.json          the batch with a NaN or infinite loss, at which a training stopped
```
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.cache import FeatureCache
from manifests.bounded import read_json
from manifests.files import write_beside
from manifests.identity import digest

from ..errors import ModelError
from .initial import encoders_of
from .settings import TrainingSettings, first_difference, load_settings, to_toml

SETTINGS, RUN, LOG, EVENTS = "settings.toml", "run.json", "log.jsonl", "events"
CHECKPOINTS, BAD_BATCH, CURVES = "checkpoints", "bad_batch.json", "curves.png"
ADAPTERS, BASE = "adapters.safetensors", "base.safetensors"

Record = dict[str, Any]


def facts_of(cache: FeatureCache, base: str) -> dict[str, Any]:
    """The facts that identify a run: its base, and the encoders and cuts of the cache, which decide every step."""
    cuts = cache.cuts.select(["cut_id", "clips", "split", "has_video", "text_id"]).to_pylist()
    return {"base": base, "encoders": encoders_of(cache.spec), "cuts": digest("cuts", cuts)}


def check_begun(path: Path, settings: TrainingSettings, facts: Mapping[str, Any]) -> None:
    """Raises ModelError if the folder has another training."""
    if not (path / RUN).exists():
        return
    difference = first_difference(load_settings(path / SETTINGS), settings)
    if difference is not None:
        raise ModelError(f"{path}: was started with {difference}; train into another folder, or use the same settings")
    try:
        begun = read_json(path / RUN)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path / RUN}: cannot be read: {error}") from error
    for name, now in facts.items():
        if begun.get(name) != now:
            raise ModelError(f"{path}: was started with {name} {begun.get(name)}, not {now}; train into another folder")


def begin(path: Path, settings: TrainingSettings, facts: Mapping[str, Any]) -> None:
    """Write the settings and facts of a run; on resuming only settings that may change differ."""
    with write_beside(path / SETTINGS) as file:
        file.write(to_toml(settings).encode())
    with write_beside(path / RUN) as file:
        file.write((json.dumps(dict(facts), indent=1) + "\n").encode())


def read_log(path: Path) -> list[Record]:
    """The lines of a run's log, without one that a kill cut short."""
    records = []
    try:
        lines = (path / LOG).read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    for line in lines:
        if line.endswith("\n"):
            records.append(json.loads(line))
    return records


class RunLog:
    """Writes the log and TensorBoard's events after `step`; removes entries of later steps."""

    def __init__(self, path: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        records = [record for record in read_log(path) if record["step"] <= step]
        with write_beside(path / LOG) as file:
            file.write("".join(map(_line, records)).encode())
        self._file = (path / LOG).open("a", encoding="utf-8")
        self._events = SummaryWriter(str(path / EVENTS), purge_step=step + 1)

    def add(self, record: Record) -> None:
        """Write a line and flush it, so that it survives a kill of this process."""
        self._file.write(_line(record))
        self._file.flush()
        for name, value in record.items():
            if name not in ("step", "epoch"):
                self._events.add_scalar(name, value, record["step"])

    def to_disk(self) -> None:
        """Force the lines to disk, before a checkpoint: else it could survive a crash without them."""
        os.fsync(self._file.fileno())
        self._events.flush()

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._events.close()


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"

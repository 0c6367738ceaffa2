"""The vocabulary of labels and reasons, read from `labels.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class Label:
    """One word of the vocabulary; `contaminant`: cuts for the corpus must not hold it."""

    name: str
    description: str
    colour: str
    contaminant: bool
    hotkey: str


@dataclass(frozen=True)
class CountsAs:
    """A borderline sound, and the label it counts as."""

    sound: str
    label: str
    reason: str


@dataclass(frozen=True)
class Reason:
    """A reason to reject a cut; `picture`: applies only to cuts with video."""

    name: str
    description: str
    picture: bool


@dataclass(frozen=True)
class Labels:
    """The vocabulary, by name and in the file's order."""

    by_name: Mapping[str, Label]
    counts_as: Mapping[str, CountsAs]
    reasons: Mapping[str, Reason]

    def __iter__(self) -> Iterator[Label]:
        return iter(self.by_name.values())

    def __getitem__(self, name: str) -> Label:
        return self.by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        """All labels."""
        return tuple(self.by_name)

    @property
    def contaminants(self) -> tuple[str, ...]:
        """The labels that cuts for the corpus must not hold."""
        return tuple(label.name for label in self if label.contaminant)


@cache
def load_labels() -> Labels:
    """The shipped vocabulary."""
    settings = tomllib.loads(Path(__file__).with_name("labels.toml").read_text(encoding="utf-8"))
    return Labels(
        MappingProxyType({name: Label(name, **values) for name, values in settings["labels"].items()}),
        MappingProxyType({sound: CountsAs(sound, **values) for sound, values in settings["counts_as"].items()}),
        MappingProxyType({name: Reason(name, **values) for name, values in settings["reasons"].items()}),
    )

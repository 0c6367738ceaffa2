"""Assigns recordings to splits: recordings that share audio, video or a channel are on the same side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from manifests.identity import digest
from manifests.records import Duplicate, Source

Split = Literal["train", "val", "test"]
VAL_SHARE, TEST_SHARE = 0.05, 0.05


def family(recordings: Iterable[str], duplicates: Iterable[Duplicate], sources: Iterable[Source]) -> dict[str, str]:
    """The family of each recording: all recordings connected by copies or by a channel, under one name.

    The name is the smallest among a family's channels and recordings, so it changes only if a smaller one joins.
    """
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        parents.setdefault(name, name)
        while parents[name] != name:
            parents[name] = parents[parents[name]]
            name = parents[name]
        return name

    def connect(one: str, other: str) -> None:
        first, second = sorted((root(one), root(other)))
        parents[second] = first

    names = list(recordings)
    for copy in duplicates:
        connect(f"recording {copy.recording_id}", f"recording {copy.kept_id}")
    for source in sources:
        if source.channel is not None and source.recording_id is not None:
            connect(f"channel {source.channel}", f"recording {source.recording_id}")
    return {name: root(f"recording {name}") for name in names}


def split_of(families: Mapping[str, str], recording_id: str) -> Split:
    """The split of a recording's family: the same in every run, independent of the rest of the corpus."""
    share = int(digest("split", families[recording_id]), 16) / 16**16
    return "test" if share < TEST_SHARE else "val" if share < TEST_SHARE + VAL_SHARE else "train"

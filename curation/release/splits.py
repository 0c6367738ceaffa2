"""Splits without twins: what shares a sound, a picture or a channel goes to one side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from manifests.identity import digest
from manifests.records import Duplicate, Source

Split = Literal["train", "val", "test"]
VAL_SHARE, TEST_SHARE = 0.05, 0.05


def family(recordings: Iterable[str], duplicates: Iterable[Duplicate], sources: Iterable[Source]) -> dict[str, str]:
    """The family of each recording: all that are tied by copies or by a channel, under one name.

    The name is the smallest among a family's channels and recordings, so it stays while nothing smaller joins.
    """
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        parents.setdefault(name, name)
        while parents[name] != name:
            parents[name] = parents[parents[name]]
            name = parents[name]
        return name

    def tie(one: str, other: str) -> None:
        first, second = sorted((root(one), root(other)))
        parents[second] = first

    known = list(recordings)
    for copy in duplicates:
        tie(f"recording {copy.recording_id}", f"recording {copy.kept_id}")
    for source in sources:
        if source.channel is not None and source.recording_id is not None:
            tie(f"channel {source.channel}", f"recording {source.recording_id}")
    return {name: root(f"recording {name}") for name in known}


def split_of(families: Mapping[str, str], recording_id: str) -> Split:
    """The side that a recording's family is on: the same one in every run, whatever else the corpus holds."""
    share = int(digest("split", families[recording_id]), 16) / 16**16
    return "test" if share < TEST_SHARE else "val" if share < TEST_SHARE + VAL_SHARE else "train"

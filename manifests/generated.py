"""Audio that systems generated for the cuts of a corpus, for blind comparison with each other and with the original.

corpus/generated/<system>/<cut_id>.wav     the audio
corpus/generated/<system>/<cut_id>.json    its settings, and the times where clips join
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bounded import read_json
from .files import write_beside
from .records import REFERENCE
from .schema import CorpusError
from .store import Corpus

FOLDER = "generated"

_SYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CUT = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True)
class GeneratedSound:
    """A system's audio for a cut; `joins`: the times where its clips join, in seconds of the audio, None if unknown."""

    system: str
    cut_id: str
    path: Path
    joins: tuple[float, ...] | None


def sound_path(corpus: Corpus, system: str, cut_id: str) -> Path:
    """The path of a system's audio for a cut. Raises CorpusError for an invalid or reserved name."""
    if not _SYSTEM.fullmatch(system):
        raise CorpusError(f"system {system!r}: letters, digits, '.', '_' and '-' make a name, at most 64 of them")
    if system == REFERENCE:
        raise CorpusError(f"system {system!r}: that is what the real sound is called")
    if not _CUT.fullmatch(cut_id):
        raise CorpusError(f"{cut_id}: systems are compared by cuts: name a cut's id")
    return corpus.path / FOLDER / system / f"{cut_id}.wav"


def write_notes(sound: Path, joins: Sequence[float], facts: Mapping[str, Any]) -> None:
    """Note beside a sound where its clips meet, and how it was made."""
    with write_beside(sound.with_suffix(".json")) as file:
        file.write(json.dumps({"joins": list(joins), **facts}, indent=1, sort_keys=True).encode())


def generated_sounds(corpus: Corpus) -> dict[str, tuple[GeneratedSound, ...]]:
    """The sounds that are there, by cut, of each the systems by name; what is behind a link is left out."""
    base = corpus.path / FOLDER
    found: dict[str, list[GeneratedSound]] = {}
    for path in sorted(base.glob("*/*.wav")):
        system = path.parent.name
        linked = base.is_symlink() or path.parent.is_symlink() or path.is_symlink()
        if linked or not _SYSTEM.fullmatch(system) or system == REFERENCE or not _CUT.fullmatch(path.stem):
            continue
        found.setdefault(path.stem, []).append(GeneratedSound(system, path.stem, path, _joins(path)))
    return {cut_id: tuple(sounds) for cut_id, sounds in found.items()}


def _joins(sound: Path) -> tuple[float, ...] | None:
    try:
        return tuple(float(time) for time in read_json(sound.with_suffix(".json"))["joins"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""Walks a tree with forbidden places, never as root, whom no permission holds back; prints JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from curation.ingest.folders import SourceNotFound, discover
from manifests.store import Corpus

NOBODY = 65534
FILES = ("locked/in.wav", "listable/in.wav", "blind/in.wav", "secret.wav", "open/in.wav", "own.wav")
MODES = {"locked": 0o000, "listable": 0o444, "blind": 0o111, "secret.wav": 0o000}
WALKS = (["."], ["locked"], ["locked/in.wav"], ["secret.wav", "blind/in.wav"])


def plant(media: Path) -> None:
    for name in FILES:
        (media / name).parent.mkdir(parents=True, exist_ok=True)
        (media / name).write_bytes(b"x")
    (media / "locked" / "deep").mkdir()
    (media / "to-locked").symlink_to("locked/in.wav")
    for name, mode in MODES.items():
        (media / name).chmod(mode)


def walk(base: Path, media: Path) -> dict[str, object]:
    """What each walk found, with its problem, and the refusal of a source that nobody can place."""
    seen: dict[str, object] = {}
    for number, sources in enumerate(WALKS):
        corpus = Corpus.create(base / f"corpus-{number}")
        found = discover([media / source for source in sources], corpus)
        seen[" ".join(sources)] = [(one.uri, one.problem) for one in found]
        seen[f"roots {number}"] = sorted(corpus.roots)
    try:
        discover([media / "locked" / "deep" / "in.wav"], Corpus.create(base / "corpus"))
    except SourceNotFound as error:
        seen["refused"] = str(error).removeprefix(f"{media}/")
    return seen


def main() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as temporary:
        media = Path(temporary) / "media"
        plant(media)
        try:
            sys.stdout.write(json.dumps(walk(Path(temporary), media)))
        finally:
            for name in MODES:
                (media / name).chmod(0o755)


if __name__ == "__main__":
    main()

"""Finding what to curate: every file of the given folders, none of them silently left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.store import Corpus
from manifests.uris import encode_path, quote


class SourceNotFound(ValueError):
    """A source that was named does not exist."""


@dataclass(frozen=True)
class Found:
    """A file, or something in a file's place: `problem` is (reason, detail) where it cannot be looked at.

    `signature` is (bytes, mtime in nanoseconds): as long as it stays the same, so does the content.
    """

    uri: str
    path: Path
    signature: tuple[int, int] = (0, 0)
    problem: tuple[str, str] | None = None


def discover(sources: Sequence[str | Path], corpus: Corpus) -> Iterator[Found]:
    """Everything in `sources` (files, folders), in a fixed order, each once; media folders become the corpus's roots.

    Hidden names and the corpus itself are passed over. What cannot be read, leads out of its folder or is no file is
    found with its problem. Raises SourceNotFound for a source that is not there.
    """
    seen: set[str] = set()
    # the outer folder first: what lies in it belongs to its root
    for source in sorted(
        {Path(os.path.abspath(source)) for source in sources}, key=lambda p: (len(p.parts), p)
    ):
        if not os.path.lexists(source):
            raise SourceNotFound(f"{quote(source)}: no such file or folder")
        folder = source if source.is_dir() else source.parent
        root, base = _root_of(folder, corpus)
        start = Path(os.path.realpath(folder))
        paths = (
            _walk(start, Path(os.path.realpath(corpus.path)))
            if source.is_dir()
            else iter([(start / source.name, None)])
        )
        for path, problem in paths:
            relative = path.relative_to(base)
            uri = encode_path(root, relative if relative.parts else path.name)
            if uri not in seen:
                seen.add(uri)
                yield Found(uri, path, problem=problem) if problem else _looked_at(uri, path, base)


def _root_of(folder: Path, corpus: Corpus) -> tuple[str, Path]:
    """The root that holds `folder`, new unless one does."""
    real = Path(os.path.realpath(folder))
    holding = [(name, Path(os.path.realpath(base))) for name, base in corpus.roots.items()]
    inside = [(name, base) for name, base in holding if real.is_relative_to(base)]
    if inside:
        return max(inside, key=lambda one: len(one[1].parts))
    return corpus.add_root(real), real


def _walk(folder: Path, corpus: Path) -> Iterator[tuple[Path, tuple[str, str] | None]]:
    """Files below `folder`, sorted, with a problem where a folder itself is one."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except PermissionError:
        yield folder, ("permission_denied", "the folder may not be read")
        return
    except FileNotFoundError:
        yield folder, ("vanished", "the folder was there a moment ago")
        return
    for entry in names:
        path = Path(entry.path)
        if entry.name.startswith(".") or path == corpus:
            continue
        if not entry.is_dir():
            yield path, None
        elif entry.is_symlink():
            if not Path(os.path.realpath(path)).is_relative_to(folder):
                yield (
                    path,
                    (
                        "outside_root",
                        f"a link to the folder {quote(os.path.realpath(path))}: name that one as a source",
                    ),
                )
        else:
            yield from _walk(path, corpus)


def _looked_at(uri: str, path: Path, base: Path) -> Found:
    """The file's signature, or what is wrong with it as far as one sees from outside."""
    target = os.path.realpath(path)
    if not Path(target).is_relative_to(base):
        return Found(
            uri, path, problem=("outside_root", f"a link to {quote(target)}: name its folder as a source")
        )
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Found(uri, path, problem=("vanished", "a link to nothing" if path.is_symlink() else "gone"))
    except OSError as error:
        return Found(uri, path, problem=("permission_denied", error.strerror or "may not be read"))
    if not stat.S_ISREG(status.st_mode):
        return Found(uri, path, problem=("not_media", "not a regular file"))
    return Found(uri, path, (status.st_size, status.st_mtime_ns))

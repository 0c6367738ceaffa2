"""Commands that stop where a kill could stop them, and the states that this leaves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from manifests.schema import SCHEMAS, SHARDED
from manifests.store import Corpus, UnfinishedCommit
from manifests.validation import validate


class Stopped(BaseException):
    """The program was killed."""


class Stop:
    """Counts the changes of names under the corpus, and stops before the one of the number `at`."""

    def __init__(self, folder: Path, at: int) -> None:
        self.folder, self.at, self.count = os.fspath(folder), at, 0

    def before(self, name: str, path: object) -> None:
        """A kill leaves no cleaning up: what comes after the stop does not happen either."""
        if self.count > self.at:
            raise Stopped
        if name != "unlink" and str(path).startswith(self.folder):
            self.count += 1
            if self.count > self.at:
                raise Stopped


@contextmanager
def stopping(folder: Path, at: int) -> Iterator[Stop]:
    """Within the block the program stops before its rename or link number `at` in `folder`; unlinks stop with it."""
    stop = Stop(folder, at)

    def guarded(name: str) -> Any:
        real = getattr(os, name)

        def call(path: Any, *rest: Any, **more: Any) -> Any:
            stop.before(name, path)
            return real(path, *rest, **more)

        return patch.object(os, name, call)

    with guarded("replace"), guarded("rename"), guarded("link"), guarded("unlink"):
        yield stop


State = tuple[dict[str, bytes], str | None]


def state_of(corpus: Corpus, *more: str) -> State:
    """Every byte of the tables, and of the files that match the patterns `more`; and the active recipe's hash."""
    names = [name for name in SCHEMAS if name not in (*SHARDED, "ledger")]
    files = [path for name in names for path in corpus.table(name).files()]
    files += [path for pattern in more for path in sorted(corpus.path.glob(pattern))]
    return {str(path.relative_to(corpus.path)): path.read_bytes() for path in files}, corpus.recipe_hash


def assert_stops_are_safe(
    base: Path, folder: Path, command: Callable[[Corpus], object], name: str, *more: str, least: int
) -> None:
    """Stop `command` over copies of the corpus `base` at every rename there is, `least` at least, and look.

    After each stop the corpus is the old one, the new one, or unfinished and named as such; and the same command again
    gives every byte that it gives without a stop.
    """

    def copied(number: int | str) -> Corpus:
        shutil.rmtree(folder, ignore_errors=True)
        return Corpus.open(shutil.copytree(base, folder))

    done = copied("done")
    old = state_of(done, *more)
    faults = validate(done)
    command(done)
    new, settings = state_of(done, *more), (done.path / "corpus.toml").read_bytes()
    assert new != old, "the command changes something"
    assert validate(done) == []
    mixed, at = 0, 0
    while True:
        corpus = copied(at)
        with stopping(corpus.path, at) as stop, suppress(Stopped):
            command(corpus)
        if stop.count <= at:
            break
        found = validate(corpus)
        named = [fault for fault in found if fault.item == "corpus.toml"]
        if corpus.unfinished is None:
            assert state_of(corpus, *more) in (old, new), f"stop {at}: a mixture that nothing names"
            assert named == []
            corpus.check_finished()
            assert {f for f in found if "left over" not in f.problem} <= set(faults), f"stop {at}"
        else:
            mixed += state_of(corpus, *more) not in (old, new)
            assert corpus.unfinished == name
            (fault,) = named
            assert fault.problem.startswith(f"{name} has not finished writing its tables")
            stray = [fault.item for fault in found if "left over" in fault.problem]
            assert all(item.startswith(".corpus.toml.") for item in stray), f"stop {at}: {stray} are still needed"
            with pytest.raises(UnfinishedCommit, match="run it again, or lpse replay"):
                corpus.check_finished()
            corpus.check_finished(but=name)
        command(corpus)
        assert state_of(corpus, *more) == new, f"stop {at}: the same command again gives other bytes"
        assert (corpus.path / "corpus.toml").read_bytes() == settings
        assert validate(corpus) == []
        at += 1
    assert at >= least and mixed, "the stops reach the renames of several tables"

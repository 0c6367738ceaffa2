"""Commits: several files change as one, or not at all; what a journal may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from manifests.records import Drop, Source
from manifests.schema import CorpusError, SchemaError
from manifests.store import Corpus, UnfinishedCommit


def source(name: str) -> Source:
    return Source(source_id=name, uri=f"m:{name}", origin="folder")


def drop(name: str) -> Drop:
    return Drop(item=name, item_kind="source", stage="identify", reason="vanished")


def everything(corpus: Corpus) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in corpus.path.rglob("*") if path.is_file() and path.name != ".lock"}


def test_nothing_is_seen_before_the_end_and_all_of_it_then(corpus: Corpus) -> None:
    corpus.append("sources", [source("a")])
    corpus.append("sources", [source("b")])
    with corpus.lock("test"), corpus.commit("lpse test") as change:
        change.replace("sources", [source("c")])
        change.append("drops", [drop("d")])
        with change.write(corpus.path / "features" / "x" / "index.parquet") as file:
            file.write(b"index")
        change.set_recipe({"name": "n"}, "h")
        assert [row.source_id for row in corpus.rows(Source)] == ["a", "b"]
        assert corpus.table("drops").count() == 0 and corpus.recipe_hash is None
        assert not (corpus.path / "features" / "x" / "index.parquet").exists()
    assert [row.source_id for row in corpus.rows(Source)] == ["c"]
    assert [row.item for row in corpus.rows(Drop)] == ["d"]
    assert (corpus.path / "features" / "x" / "index.parquet").read_bytes() == b"index"
    now = Corpus.open(corpus.path)
    assert (now.recipe_hash, now.recipe) == ("h", {"name": "n"})
    assert corpus.unfinished is None and not list(corpus.leftovers())


def test_after_an_exception_nothing_is_changed(corpus: Corpus) -> None:
    corpus.replace("sources", [source("a")])
    before = everything(corpus)
    repeated = pytest.raises(SchemaError, match="repeat a primary key")
    with repeated, corpus.lock("test"), corpus.commit("lpse test") as change:
        change.replace("drops", [drop("d")])
        change.set_recipe({}, "h")
        change.replace("sources", [source("b"), source("b")])
    assert everything(corpus) == before
    with pytest.raises(TypeError), corpus.lock("test"), corpus.commit("lpse test") as change:
        change.replace("drops", [drop("d")])
        change.set_recipe({"max_duration": None}, "h")
    assert everything(corpus) == before


def written(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written, and not when it is read."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def test_what_stays_the_same_is_not_touched(corpus: Corpus) -> None:
    corpus.replace("sources", [source("a")])
    corpus.set_recipe({"name": "n"}, "h")
    files = [corpus.path / "corpus.toml", *corpus.table("sources").files()]
    before = [written(path) for path in files]
    with corpus.lock("test"), corpus.commit("lpse test") as change:
        change.replace("sources", [source("a")])
        change.append("drops", [])
        change.set_recipe({"name": "n"}, "h")
    assert [written(path) for path in files] == before


def test_parts_beside_the_same_bytes_go(corpus: Corpus) -> None:
    corpus.replace("sources", [source("a")])
    corpus.append("sources", [source("b")])
    with corpus.lock("test"), corpus.commit("lpse test") as change:
        change.replace("sources", [source("a")])
    assert [row.source_id for row in corpus.rows(Source)] == ["a"]


def test_a_commit_over_an_unfinished_one_is_refused(corpus: Corpus) -> None:
    journal(corpus, [])
    with pytest.raises(UnfinishedCommit, match="lpse test has not finished"), corpus.commit("lpse other"):
        raise AssertionError("the block is not entered")


def journal(corpus: Corpus, files: list[dict[str, Any]]) -> None:
    settings = {"schema_version": 3, "commit": {"command": "lpse test", "files": files}}
    (corpus.path / "corpus.toml").write_text(tomli_w.dumps(settings))


@pytest.mark.parametrize(
    ("path", "staged"),
    [
        ("../outside/part-00000.parquet", ".part-00000.parquet.1-0a1b2c3d.tmp"),
        ("manifests/../../outside", ".outside.1-0a1b2c3d.tmp"),
        ("/etc/passwd", ".passwd.1-0a1b2c3d.tmp"),
        ("ledger/part-00000.parquet", ".part-00000.parquet.1-0a1b2c3d.tmp"),
        ("manifests/cuts/part-00000.parquet", "../drops/part-00000.parquet"),
        ("manifests/cuts/part-00000.parquet", ".part-00001.parquet.1-0a1b2c3d.tmp"),
    ],
)
def test_a_journal_that_no_commit_wrote_is_refused(corpus: Corpus, tmp_path: Path, path: str, staged: str) -> None:
    journal(corpus, [{"path": path, "staged": staged, "whole": False}])
    before = everything(corpus)
    with pytest.raises(CorpusError, match=r"corpus.toml: \[commit\] names"), corpus.lock("test"):
        raise AssertionError("the lock is not given")
    assert everything(corpus) == before


@pytest.mark.parametrize("text", ['commit = "x"', "[commit]", '[commit]\nfiles = "x"', "[commit]\nfiles = [1]"])
def test_a_journal_of_another_form_is_refused(corpus: Corpus, text: str) -> None:
    (corpus.path / "corpus.toml").write_text(f"schema_version = 3\n{text}\n")
    with pytest.raises(CorpusError, match=r"corpus.toml: commit.* must be"), corpus.lock("test"):
        raise AssertionError("the lock is not given")

"""Other programs read every table of a corpus: all rows, all values, nested columns included."""

from __future__ import annotations

import shutil
from contextlib import chdir
from pathlib import Path

import duckdb
import pytest

from manifests.records import RECORDS
from manifests.schema import SHARDED
from manifests.shards import write_shard
from manifests.store import Corpus
from manifests.validation import validate
from tests.support import ROOT
from tests.support.every_column import rows_of
from tests.support.pages import blocks
from tests.support.parquet_readers import READERS, arrow_rows

COUNT = 60
OLD = ROOT / "tests" / "manifests" / "data" / "corpus_v3" / "corpus"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus whose every table has rows in every column."""
    corpus = Corpus.create(tmp_path_factory.mktemp("plain") / "corpus")
    for name in RECORDS:
        rows = rows_of(name, COUNT)
        if name in SHARDED:
            write_shard(corpus, name, rows)
        else:
            corpus.append(name, rows)
    return corpus


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("table", RECORDS)
def test_a_program_reads_what_was_written(written: Corpus, tmp_path: Path, table: str, reader: str) -> None:
    (path,) = written.table(table).files()
    expected = arrow_rows(path)
    assert len(expected) == COUNT and set(expected[0]) == set(rows_of(table, 1).column_names)
    assert READERS[reader](path, tmp_path) == expected


def test_scores_of_older_versions_are_read_and_can_be_written_again(tmp_path: Path) -> None:
    """The example of docs/corpus.md over a corpus whose scores no DuckDB reads."""
    shutil.copytree(OLD, tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    files = corpus.table("scores").files()
    size = sum(path.stat().st_size for path in files)
    before = {path: arrow_rows(path) for path in files}
    with pytest.raises(duckdb.Error, match="BYTE_STREAM_SPLIT"):
        READERS["duckdb"](files[0], tmp_path)
    (example,) = (block.text for block in blocks("docs/corpus.md", "python") if "write_shard" in block.text)
    with chdir(tmp_path):
        exec(compile(example, "docs/corpus.md", "exec"), {})
    assert corpus.table("scores").files() == files and len(files) == 10
    for path in files:
        assert arrow_rows(path) == before[path]
        for read in READERS.values():
            assert read(path, tmp_path) == before[path]
    assert sum(path.stat().st_size for path in files) <= size
    assert validate(corpus) == validate(Corpus.open(OLD))

"""Files that are not as they were written are found, and named with their cure."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.parquet import Damaged, file_fault, open_parquet, write_parquet
from manifests.records import Source, Verdict
from manifests.schema import SCHEMAS, CorpusError, to_table
from manifests.store import Corpus
from tests.support.made_up_annotators import NOON


def sources(count: int) -> list[Source]:
    return [
        Source(source_id=f"s{i:05d}", uri=f"m:{i}.wav", origin="folder", title=f"take {i % 7}") for i in range(count)
    ]


@pytest.fixture
def path(corpus: Corpus) -> Path:
    corpus.replace("sources", sources(3000))
    (path,) = corpus.table("sources").files()
    return path


def test_a_file_as_written_is_sound_and_plain_parquet(path: Path, tmp_path: Path) -> None:
    import duckdb

    assert file_fault("sources", path) is None
    assert file_fault("cuts", path) == "belongs to table 'sources', not to 'cuts'"
    with duckdb.connect() as connection:
        (count,) = connection.execute("SELECT count(DISTINCT source_id) FROM read_parquet(?)", [str(path)]).fetchall()[
            0
        ]
    assert count == 3000
    for rows in (to_table("sources", sources(3)), SCHEMAS["sources"].empty_table()):
        for name in ("one", "two"):
            with open(tmp_path / name, "wb") as file:
                write_parquet(rows, file)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        assert file_fault("sources", tmp_path / "one") is None
        assert pq.read_table(tmp_path / "one").equals(rows)


def test_any_flipped_bit_and_any_end_is_found(path: Path) -> None:
    content, draw = path.read_bytes(), random.Random(3)
    key = content.rindex(b"lpse.crc32")
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    places = [draw.randrange(len(content)) for _ in range(150)] + [
        draw.randrange(footer, len(content)) for _ in range(150)
    ]
    for at in places:
        if not key <= at < key + len(b"lpse.crc32"):  # without its name there is no checksum, as in an older file
            damaged = bytearray(content)
            damaged[at] ^= 1 << draw.randrange(8)
            path.write_bytes(damaged)
            assert file_fault("sources", path) is not None, at
    for end in (0, 1, 4, 12, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:end])
        assert file_fault("sources", path) == ("it is empty" if not end else "its end is missing or damaged")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file_fault("sources", path)


def test_reading_a_damaged_page_names_the_file_and_the_cure(corpus: Corpus, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    for read in (
        lambda: corpus.table("sources").to_arrow(),
        lambda: corpus.table("sources").to_pandas(),
        lambda: list(corpus.rows(Source)),
    ):
        with pytest.raises(Damaged) as caught:
            read()
        assert caught.value.path == path
        assert str(caught.value).startswith(f"{path}: damaged: ") and "\n" not in str(caught.value)
        assert str(caught.value).endswith("restore it from a backup, or remove it and run lpse curate with all sources")
    corpus.append("verdicts", [verdict("a")])
    corpus.append("verdicts", [verdict("b")])
    second = corpus.table("verdicts").files()[1]
    second.write_bytes(second.read_bytes()[:-3])
    with pytest.raises(Damaged, match=rf"{second.name}: damaged: .*people's work.*restore it from a backup"):
        corpus.table("verdicts").count()


def verdict(name: str) -> Verdict:
    return Verdict(
        verdict_id=name, recording_id="r", start_ms=0, end_ms=1000, decision="keep", reasons=(), method="reviewer",
        author="ann", made_at=NOON,
    )  # fmt: skip


def test_files_without_checksums_are_read_to_be_checked(path: Path) -> None:
    """Those of earlier versions: sound ones stay sound, and broken pages are found all the same."""
    pq.write_table(pq.read_table(path), path, compression="zstd")
    assert file_fault("sources", path) is None
    content = path.read_bytes()
    broken = bytearray(content)
    broken[4 : len(content) // 3] = bytes(len(content) // 3 - 4)
    path.write_bytes(broken)
    assert file_fault("sources", path) is not None
    path.write_bytes(content[: len(content) // 2])
    assert file_fault("sources", path) == "its end is missing or damaged"


def test_a_foreign_file_is_not_called_damaged(path: Path, tmp_path: Path) -> None:
    foreign = Path(shutil.copy(path, tmp_path / "foreign.parquet"))
    pq.write_table(pa.table({"a": [1]}), foreign)
    with pytest.raises(CorpusError, match="not written by this program") as caught:
        open_parquet("sources", foreign)
    assert not isinstance(caught.value, Damaged)

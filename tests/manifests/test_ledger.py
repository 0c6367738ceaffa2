from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from subprocess import Popen

import pytest

from manifests.ledger import Ledger
from manifests.records import LedgerRow
from manifests.store import Corpus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def row(key: str, minute: int = 0, *, stage: str = "score", attempt: int = 1) -> LedgerRow:
    return LedgerRow(
        stage=stage,
        key=key,
        item=f"item of {key}",
        outcome="done",
        attempt=attempt,
        started_at=NOON + timedelta(minutes=minute),
        seconds=1.5,
    )


def rows(corpus: Corpus) -> list[LedgerRow]:
    return list(corpus.rows(LedgerRow))


def test_the_last_start_counts(corpus: Corpus) -> None:
    book = Ledger(corpus)
    assert book.latest("score") == {}
    book.append([row("a", 5, attempt=2), row("b", 1), row("c", stage="probe")])
    book.append([row("a", 3, attempt=1), row("b", 1, attempt=7)])
    assert book.latest("score") == {"a": row("a", 5, attempt=2), "b": row("b", 1, attempt=7)}
    assert book.latest("probe") == {"c": row("c", stage="probe")}


def test_each_append_is_one_part_and_none_for_nothing(corpus: Corpus) -> None:
    book = Ledger(corpus)
    for minute in range(3):
        book.append([row("a", minute)])
    book.append([])
    assert [path.name for path in corpus.table("ledger").files()] == [f"part-0000{i}.parquet" for i in range(3)]


def test_compaction_keeps_rows_and_their_order(corpus: Corpus) -> None:
    book = Ledger(corpus)
    book.compact()
    assert rows(corpus) == []
    for i in range(12):
        book.append([row(f"k{i}"), row("same", attempt=i)])
    before = rows(corpus)
    book.compact()
    assert rows(corpus) == before
    assert [path.name for path in (corpus.path / "ledger").iterdir()] == ["part-00000-00011.parquet"]
    book.append([row("same", attempt=99)])
    book.compact()
    assert [path.name for path in (corpus.path / "ledger").iterdir()] == ["part-00000-00012.parquet"]
    assert rows(corpus) == [*before, row("same", attempt=99)]
    assert book.latest("score")["same"].attempt == 99


KILLS = {
    "before the rename": """
import manifests.files
manifests.files.os.replace = lambda *_: os._exit(9)
""",
    "after the rename": """
import manifests.ledger
manifests.ledger.remove_dead_parts = lambda _: os._exit(9)
""",
    "half-way through the removal": """
from pathlib import Path
unlink = Path.unlink
def unlink_one_part(path, missing_ok=False):
    unlink(path, missing_ok)
    if path.suffix == ".parquet":
        os._exit(9)
Path.unlink = unlink_one_part
""",
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_kill_in_mid_compaction_loses_and_doubles_nothing(
    corpus: Corpus, start_python: Callable[..., Popen[str]], moment: str
) -> None:
    book = Ledger(corpus)
    for i in range(5):
        book.append([row(f"k{i}")])
    before, folder = rows(corpus), corpus.path / "ledger"
    compact = "from manifests.ledger import Ledger\nLedger(corpus).compact()"
    assert start_python(corpus, KILLS[moment] + compact).wait(60) == 9
    assert len(list(folder.iterdir())) > 1, "the kill came too late to leave anything"
    assert rows(corpus) == before
    book.append([row("later")])
    with corpus.lock("test"):
        assert set(folder.iterdir()) == set(corpus.table("ledger").files())
        book.compact()
    assert rows(corpus) == [*before, row("later")]
    assert len(list(folder.iterdir())) == 1


def test_processes_that_append_at_once_lose_nothing(corpus: Corpus, start_python: Callable[..., Popen[str]]) -> None:
    code = """
from datetime import UTC, datetime
from manifests.ledger import Ledger
from manifests.records import LedgerRow
print("ready", flush=True)
sys.stdin.readline()
for i in range(25):
    now = datetime.now(UTC)
    key = sys.argv[2] + str(i)
    Ledger(corpus).append([LedgerRow(
        stage="score", key=key, item="r", outcome="done", attempt=1, started_at=now, seconds=0.5)])
"""
    writers = [start_python(corpus, code, worker) for worker in "abc"]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert corpus.table("ledger").count() == 75
    assert set(Ledger(corpus).latest("score")) == {f"{worker}{i}" for worker in "abc" for i in range(25)}

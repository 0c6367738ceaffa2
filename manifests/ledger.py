"""The ledger: which stage did what to which item, when. It only grows; the last word on a key counts.

Its methods are for the one writer of the corpus.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow.compute as pc

from .files import live_parts, merged_path, remove_dead_parts, write_beside
from .healing import report_healed
from .parquet import write_parquet
from .records import LedgerRow
from .store import Corpus, Table


class Ledger:
    """The ledger of a corpus."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._table = corpus.table("ledger")

    def append(self, rows: Iterable[LedgerRow]) -> None:
        """Add rows as one new part file, whole or not at all. Several processes may append at once."""
        self._corpus.append("ledger", rows)

    def latest(self, stage: str) -> dict[str, LedgerRow]:
        """Each key's last row of a stage: the one that started last, of equal ones the one written last."""
        latest: dict[str, LedgerRow] = {}
        for row in self._sound_table().rows(pc.field("stage") == stage):
            known = latest.get(row.key)
            if known is None or row.started_at >= known.started_at:
                latest[row.key] = row
        return latest

    def compact(self) -> None:
        """Merge all parts into one file, in the order they were written; the caller is the only writer.

        The new file's name contains the numbers of the parts it replaces: a kill at any point loses or doubles no row.
        """
        folder = self._table.folder
        if len(live_parts(folder)) > 1:
            with write_beside(merged_path(folder)) as file:
                write_parquet(self._sound_table().to_arrow(), file)
        remove_dead_parts(folder)

    def _sound_table(self) -> Table:
        """The table, after its damaged files are removed: without their rows, only time is lost."""
        for path, problem in list(self._table.faults()):
            path.unlink()
            report_healed(path, f"damaged: {problem}", "removed; the work that it listed is done again")
        return self._table

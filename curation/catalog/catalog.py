"""Finding in a corpus: cuts and recordings with all that is known of them, filtered, searched, sorted and counted.

A `Catalog` is a snapshot in DuckDB, in memory: it answers in milliseconds at 100,000 cuts, and a new one is made when
the tables on disk changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from manifests.errors import LpseError
from manifests.recipe import MeasureName
from manifests.store import Corpus

from .accounting import DECISIONS, OUTCOMES, CutTotal, DropTotal
from .filters import PEOPLE, Condition, Filter, cut_condition, recording_condition
from .tables_sql import TABLES, fill

if TYPE_CHECKING:
    import duckdb

CUT_COLUMNS = (
    "cut_id", "parent_cut_id", "recording_id", "file", "title", "channel", "licence", "start", "end", "seconds",
    "decision", "reasons", "risk", "tags", "people", "verdict", "author", "comment", "recording_seconds", "has_video",
    "loudness_lufs", "clipped", "bandwidth_hz", "dc", "dead_channels", "copied_channels", "mono_loss_db", "dropouts",
    "still_share", "scene_cuts",
)  # fmt: skip
RECORDING_COLUMNS = (
    "recording_id", "file", "title", "channel", "licence", "origin", "seconds", "status", "has_video", "cuts",
    "accept", "review", "reject", "worst_risk", "drop_reasons",
)  # fmt: skip
_FACETS = {
    "decisions": "decision",
    "reasons": "unnest(reasons)",
    "tags": "unnest(tags)",
    "channels": "coalesce(channel, '')",
    "licences": "coalesce(licence, '')",
    "people": "unnest(people)",
}
_ORDERED = {"decisions": DECISIONS, "people": PEOPLE}


@dataclass(frozen=True)
class AnnotationProgress:
    """Tasks of one purpose: how many, how many of them everybody asked has heard, answers wanted and given."""

    purpose: str
    tasks: int
    done: int
    wanted: int
    given: int


class CatalogUnavailable(LpseError, ImportError):
    """DuckDB is not installed."""


class Catalog:
    """The corpus as it was when this was made; may be asked from several threads at once.

    Raises CatalogUnavailable without DuckDB, CorpusError for tables that cannot be read.
    """

    def __init__(self, corpus: Corpus) -> None:
        if find_spec("duckdb") is None:
            raise CatalogUnavailable('finding needs DuckDB: pip install "lpse[app]"')
        import duckdb

        self.stamp = corpus.stamp(*TABLES)
        # nothing that a query says may reach files or the network
        self._connection = duckdb.connect(
            ":memory:", config={"enable_external_access": False, "autoinstall_known_extensions": False}
        )
        self._fates = fill(self._connection, corpus)
        self._lock = Lock()
        self._counted = False
        self._ends: dict[str, list[float]] = {}

    def is_fresh(self, corpus: Corpus) -> bool:
        """Whether the tables on disk are still those of this snapshot."""
        return self.stamp == corpus.stamp(*TABLES)

    def totals(self, filter: Filter) -> dict[str, CutTotal]:
        """Cuts and their seconds by decision, every one of DECISIONS."""
        where, values = cut_condition(filter)
        rows = self._ask(f"SELECT decision, count(*), sum(seconds) FROM cuts WHERE {where} GROUP BY decision", values)
        found = {decision: CutTotal(cuts, seconds) for decision, cuts, seconds in rows.fetchall()}
        return {decision: found.get(decision, CutTotal(0, 0.0)) for decision in DECISIONS}

    def count_recordings(self, filter: Filter) -> int:
        """How many recordings the filter shows."""
        where, values = recording_condition(filter)
        (count,) = self._ask(f"SELECT count(*) FROM recordings WHERE {where}", values).fetchall()[0]
        return int(count)

    def facets(self, filter: Filter) -> dict[str, dict[str, int]]:
        """Of each field with choices, its values and how many cuts each would show beside what else is asked for.

        Most frequent first, decisions and what people said in their own order. UNKNOWN stands for no channel.
        """
        facets = {}
        for name, column in _FACETS.items():
            where, values = cut_condition(filter.without(name))
            query = f"SELECT v, count(*) FROM (SELECT {column} AS v FROM cuts WHERE {where}) GROUP BY v"
            counts = dict(self._ask(f"{query} ORDER BY count(*) DESC, v", values).fetchall())
            facets[name] = {value: counts[value] for value in _ORDERED.get(name, counts) if value in counts}
        return facets

    def cuts(
        self,
        filter: Filter,
        *,
        sort: str = "risk",
        descending: bool = True,
        limit: int | None = None,
        offset: int = 0,
        columns: Iterable[str] = CUT_COLUMNS,
    ) -> pa.Table:
        """The cuts in order, `limit` of them (None: all) from `offset` on. Raises KeyError for no column to sort by."""
        names = _known(columns, CUT_COLUMNS)
        return self._page("cuts", cut_condition(filter), names, _known([sort], CUT_COLUMNS), descending, limit, offset)

    def recordings(
        self,
        filter: Filter,
        *,
        sort: str = "seconds",
        descending: bool = True,
        limit: int | None = None,
        offset: int = 0,
        columns: Iterable[str] = RECORDING_COLUMNS,
    ) -> pa.Table:
        """The recordings that have such cuts, or were dropped as asked for; `accept` and so on are seconds in cuts."""
        names, order = _known(columns, RECORDING_COLUMNS), _known([sort], RECORDING_COLUMNS)
        return self._page("recordings", recording_condition(filter), names, order, descending, limit, offset)

    def seconds_by_fate(self, filter: Filter) -> dict[str, float]:
        """Where the time of the recordings went that the filter shows: seconds of every one of FATES."""
        with self._lock:  # worked out when first asked for: half a second at 100,000 cuts
            if not self._counted:
                self._connection.cursor().register("fates_made", self._fates()).execute(
                    "CREATE TABLE fates AS FROM fates_made"
                )
                self._counted = True
        where, values = recording_condition(filter)
        sums = ", ".join(f"coalesce(sum({fate}), 0.0)" for fate in OUTCOMES)
        query = f"SELECT {sums} FROM fates WHERE recording_id IN (SELECT recording_id FROM recordings WHERE {where})"
        return dict(zip(OUTCOMES, self._ask(query, values).fetchall()[0], strict=True))

    def drops(self, filter: Filter) -> list[DropTotal]:
        """What did not make it, by kind and reason, the longest first; sources, of which nothing is known but their
        place, only where nothing is asked for."""
        of_recordings, values = recording_condition(filter)
        of_cuts, others = cut_condition(filter)
        sources = "UNION ALL SELECT item_kind, reason, item, NULL FROM drops WHERE item_kind = 'source'"
        query = f"""
            SELECT item_kind, reason, count(DISTINCT item), sum(seconds) FROM (
                SELECT DISTINCT 'recording' AS item_kind, unnest(drop_reasons) AS reason, recording_id AS item, seconds
                FROM recordings WHERE {of_recordings}
                UNION ALL
                SELECT DISTINCT 'cut', drops.reason, item, seconds FROM drops JOIN (SELECT * FROM cuts WHERE {of_cuts})
                ON item_kind = 'cut' AND item = cut_id
                {sources if filter.is_empty else ""}
            ) GROUP BY ALL ORDER BY sum(seconds) DESC NULLS LAST, count(DISTINCT item) DESC, item_kind, reason"""
        rows = self._ask(query, [*values, *others]).fetchall()
        return [DropTotal(kind, reason, items, seconds) for kind, reason, items, seconds in rows]

    def reasons(self, filter: Filter, decision: str) -> dict[str, CutTotal]:
        """The reasons of the cuts with a decision, how many there are and how long, the longest first.

        A cut with several reasons counts for each.
        """
        where, values = cut_condition(filter)
        query = f"""
            SELECT reason, count(*), sum(seconds) FROM (
                SELECT unnest(reasons) AS reason, seconds FROM cuts WHERE {where} AND decision = ?
            ) GROUP BY reason ORDER BY sum(seconds) DESC, reason"""
        rows = self._ask(query, [*values, decision]).fetchall()
        return {reason: CutTotal(cuts, seconds) for reason, cuts, seconds in rows}

    def yield_curve(self, filter: Filter, points: int = 200) -> pa.Table:
        """Seconds that would be kept with all cuts up to a risk: `risk`, `seconds`, both ascending.

        Over accepted cuts and those for review; rejected ones no threshold brings back.
        """
        where, values = cut_condition(filter)
        query = f"""
            SELECT risk, max(kept) AS seconds FROM (
                SELECT risk, sum(seconds) OVER (ORDER BY risk, cut_id) AS kept FROM (
                    SELECT ceil(risk * {points:d}) / {points:d} AS risk, seconds, cut_id FROM cuts
                    WHERE decision <> 'reject' AND ({where})
                )
            ) GROUP BY risk ORDER BY risk"""
        return self._table(query, values)

    def chosen_point(self, filter: Filter) -> tuple[float, float] | None:
        """Where the recipe stands: the largest risk among accepted cuts, and the seconds accepted; None without any."""
        if filter.decisions and "accept" not in filter.decisions:
            return None
        where, values = cut_condition(replace(filter, decisions=("accept",)))
        risk, seconds = self._ask(f"SELECT max(risk), sum(seconds) FROM cuts WHERE {where}", values).fetchall()[0]
        return None if risk is None else (risk, seconds)

    def histogram(self, measure: MeasureName, filter: Filter, bins: int = 36, show: Sequence[float] = ()) -> pa.Table:
        """Cuts by a measure: `bin`, `low`, `high` (the ends of all bins), `decision`, `cuts`.

        Bins are equally wide. They reach from the 0.5th to the 99.5th percentile of the whole corpus, so that filters
        leave the axis as it is, and over the values to `show`; the first and the last hold what lies beyond, too. No
        rows where nobody measured it. Raises KeyError for a measure that cuts do not have.
        """
        (column,) = _known([measure], CUT_COLUMNS)
        if column not in self._ends:
            ends = f"SELECT quantile_cont({column}::DOUBLE, [0.005, 0.995]) FROM cuts WHERE {column} IS NOT NULL"
            self._ends[column] = self._ask(ends, []).fetchall()[0][0] or []
        reach = [*self._ends[column], *show] or [0.0]
        low, high = (f"{float(end)!r}::DOUBLE" for end in (min(reach), max(reach)))
        # where all are equal there is one place only; DuckDB's least() would pass over the missing quotient
        bin = "0"
        if min(reach) < max(reach):
            bin = f"greatest(0, least(floor(({column} - {low}) / ({high} - {low}) * {bins:d}), {bins - 1:d}))"
        where, values = cut_condition(filter)
        query = f"""
            SELECT ({bin})::INTEGER AS bin, {low} AS low, {high} AS high, decision,
                count(*) AS cuts
            FROM cuts WHERE {where} AND {column} IS NOT NULL GROUP BY ALL ORDER BY bin, decision"""
        return self._table(query, values)

    def progress(self, filter: Filter) -> list[AnnotationProgress]:
        """How far annotators are with the tasks about the recordings that the filter shows, by purpose."""
        where, values = recording_condition(filter)
        query = f"""
            SELECT purpose, count(*), count(*) FILTER (WHERE heard >= wanted), sum(wanted), sum(least(heard, wanted))
            FROM asked WHERE recording_id IN (SELECT recording_id FROM recordings WHERE {where})
            GROUP BY purpose ORDER BY purpose"""
        return [AnnotationProgress(*map(_whole, row)) for row in self._ask(query, values).fetchall()]

    def _page(
        self,
        table: str,
        condition: Condition,
        columns: list[str],
        order: list[str],
        descending: bool,
        limit: int | None,
        offset: int,
    ) -> pa.Table:
        where, values = condition
        key = '"cut_id"' if table == "cuts" else '"recording_id"'
        direction = "DESC" if descending else "ASC"
        # equal ones by their id: pages neither repeat nor lose a row
        query = (
            f"SELECT {', '.join(columns)} FROM {table} WHERE {where} ORDER BY {order[0]} {direction} NULLS LAST, {key}"
        )
        if limit is not None:
            query, values = f"{query} LIMIT ? OFFSET ?", [*values, limit, offset]
        return self._table(query, values)

    def _table(self, query: str, values: list[Any]) -> pa.Table:
        return self._connection.cursor().sql(query, params=values).to_arrow_table()

    def _ask(self, query: str, values: list[Any]) -> duckdb.DuckDBPyConnection:
        # a cursor of its own: connections must not be shared among threads
        return self._connection.cursor().execute(query, values)


def _whole(value: Any) -> Any:
    """DuckDB sums whole numbers to wider ones than Python's JSON expects."""
    return value if isinstance(value, str) else int(value)


def _known(columns: Iterable[str], among: tuple[str, ...]) -> list[str]:
    """The columns as SQL names them. Raises KeyError for one there is not: no other text becomes part of a query."""
    for column in (names := list(columns)):
        if column not in among:
            raise KeyError(f"no column {column!r} among {', '.join(among)}")
    return [f'"{column}"' for column in names]


_open: dict[Path, Catalog] = {}
_opening = Lock()


def catalog_of(corpus: Corpus) -> Catalog:
    """The Finder of a corpus as it is now, made anew only after its tables changed."""
    with _opening:
        known = _open.get(corpus.path)
        if known is None or not known.is_fresh(corpus):
            _open[corpus.path] = known = Catalog(corpus)
        return known

"""Search a corpus: cuts and recordings with their sources and verdicts, filtered, sorted and counted.

A `Catalog` is a snapshot in DuckDB, in memory: a query takes milliseconds at 100,000 cuts. A new one is made when the
tables on disk change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from manifests.errors import LpseError
from manifests.recipe import MeasureName
from manifests.store import Corpus
from manifests.time import to_ms

from ..decision.risk_curve import CURVE_POINTS, RiskPoint, risk_curve
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
    """Tasks of one purpose: their number, those with all answers (`done`), answers `wanted` and `given`."""

    purpose: str
    tasks: int
    done: int
    wanted: int
    given: int


class CatalogUnavailable(LpseError, ImportError):
    """DuckDB is not installed."""


class Catalog:
    """A snapshot of the corpus; several threads may query it at once.

    Raises CatalogUnavailable without DuckDB, CorpusError for tables that cannot be read.
    """

    def __init__(self, corpus: Corpus) -> None:
        if find_spec("duckdb") is None:
            raise CatalogUnavailable('the catalog needs DuckDB: pip install "lpse[app]"')
        import duckdb

        self.stamp = corpus.stamp(*TABLES)
        # no query may reach files or the network
        self._connection = duckdb.connect(
            ":memory:", config={"enable_external_access": False, "autoinstall_known_extensions": False}
        )
        self._outcomes = fill(self._connection, corpus)
        self._lock = Lock()
        self._counted = False
        self._ends: dict[str, list[float]] = {}

    def is_fresh(self, corpus: Corpus) -> bool:
        """True while the tables on disk are those of this snapshot."""
        return self.stamp == corpus.stamp(*TABLES)

    def totals(self, filter: Filter) -> dict[str, CutTotal]:
        """Number and seconds of the cuts, for each of DECISIONS."""
        where, values = cut_condition(filter)
        rows = self._ask(f"SELECT decision, count(*), sum(seconds) FROM cuts WHERE {where} GROUP BY decision", values)
        found = {decision: CutTotal(cuts, seconds) for decision, cuts, seconds in rows.fetchall()}
        return {decision: found.get(decision, CutTotal(0, 0.0)) for decision in DECISIONS}

    def count_recordings(self, filter: Filter) -> int:
        """The number of recordings that the filter selects."""
        where, values = recording_condition(filter)
        (count,) = self._ask(f"SELECT count(*) FROM recordings WHERE {where}", values).fetchall()[0]
        return int(count)

    def facets(self, filter: Filter) -> dict[str, dict[str, int]]:
        """The values of each field with choices, and the number of cuts that each selects beside the other fields.

        The most frequent value comes first; decisions and the judgement of people keep their own order. UNKNOWN stands
        for a missing channel or licence.
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
        """The cuts in order, `limit` of them (None: all) from `offset` on. Raises KeyError for an unknown column."""
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
        """The recordings that the filter selects, in order; `accept`, `review` and `reject` are seconds in cuts."""
        names, order = _known(columns, RECORDING_COLUMNS), _known([sort], RECORDING_COLUMNS)
        return self._page("recordings", recording_condition(filter), names, order, descending, limit, offset)

    def seconds_by_outcome(self, filter: Filter) -> dict[str, float]:
        """Seconds of the selected recordings, for each of OUTCOMES."""
        with self._lock:  # made when first asked for: half a second at 100,000 cuts
            if not self._counted:
                self._connection.cursor().register("outcomes_made", self._outcomes()).execute(
                    "CREATE TABLE outcomes AS FROM outcomes_made"
                )
                self._counted = True
        where, values = recording_condition(filter)
        sums = ", ".join(f"coalesce(sum({outcome}), 0.0)" for outcome in OUTCOMES)
        query = f"SELECT {sums} FROM outcomes WHERE recording_id IN (SELECT recording_id FROM recordings WHERE {where})"
        return dict(zip(OUTCOMES, self._ask(query, values).fetchall()[0], strict=True))

    def drops(self, filter: Filter) -> list[DropTotal]:
        """Drops by kind and reason, the longest first.

        Dropped sources have no property to filter by: they are counted for an empty filter only.
        """
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
        """Number and seconds of the cuts with a decision by reason, the longest first.

        A cut with several reasons counts for each.
        """
        where, values = cut_condition(filter)
        query = f"""
            SELECT reason, count(*), sum(seconds) FROM (
                SELECT unnest(reasons) AS reason, seconds FROM cuts WHERE {where} AND decision = ?
            ) GROUP BY reason ORDER BY sum(seconds) DESC, reason"""
        rows = self._ask(query, [*values, decision]).fetchall()
        return {reason: CutTotal(cuts, seconds) for reason, cuts, seconds in rows}

    def yield_curve(self, filter: Filter, points: int = CURVE_POINTS) -> tuple[RiskPoint, ...]:
        """The risk curve over accepted cuts and those for review; no threshold brings rejected ones back."""
        return self._curve(filter, "decision <> 'reject'", points)

    def chosen_point(self, filter: Filter) -> RiskPoint | None:
        """The point of the recipe: all accepted cuts, with their largest risk; None without an accepted cut."""
        curve = self._curve(filter, "decision = 'accept'")
        return curve[-1] if curve else None

    def next_cut(
        self, recording_id: str, start: float, step: int, decision: str | None = "review"
    ) -> tuple[str, float] | None:
        """Recording id and start of the next cut with the decision after (`step` 1) or before (-1) a place.

        Cuts are ordered by recording id, then by time; None at the end. `decision` None: any.
        """
        beyond, direction = (">", "ASC") if step > 0 else ("<", "DESC")
        query = f"""
            SELECT recording_id, start FROM cuts
            WHERE (recording_id {beyond} $1 OR (recording_id = $1 AND start {beyond} $2))
                AND ($3 IS NULL OR decision = $3)
            ORDER BY recording_id {direction}, start {direction} LIMIT 1"""
        found = self._ask(query, [recording_id, to_ms(start) / 1000, decision]).fetchone()
        return found and (found[0], found[1])

    def histogram(self, measure: MeasureName, filter: Filter, bins: int = 36, show: Sequence[float] = ()) -> pa.Table:
        """Cuts by a measure: `bin`, `low`, `high` (the ends of all bins), `decision`, `cuts`.

        Bins are equally wide. They reach from the 0.5th to the 99.5th percentile of the whole corpus, so that filters
        do not move the axis, and cover the values to `show`; values beyond count in the first or the last bin. No rows
        without a measured cut. Raises KeyError for a measure that cuts do not have.
        """
        (column,) = _known([measure], CUT_COLUMNS)
        if column not in self._ends:
            ends = f"SELECT quantile_cont({column}::DOUBLE, [0.005, 0.995]) FROM cuts WHERE {column} IS NOT NULL"
            self._ends[column] = self._ask(ends, []).fetchall()[0][0] or []
        reach = [*self._ends[column], *show] or [0.0]
        low, high = (f"{float(end)!r}::DOUBLE" for end in (min(reach), max(reach)))
        # equal values have one bin only; DuckDB's least() would ignore the missing quotient
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
        """Progress of annotation over the tasks of the selected recordings, by purpose."""
        where, values = recording_condition(filter)
        query = f"""
            SELECT purpose, count(*), count(*) FILTER (WHERE answers >= wanted), sum(wanted),
                sum(least(answers, wanted))
            FROM requested WHERE recording_id IN (SELECT recording_id FROM recordings WHERE {where})
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
        # equal values are ordered by id: pages neither repeat nor lose a row
        query = (
            f"SELECT {', '.join(columns)} FROM {table} WHERE {where} ORDER BY {order[0]} {direction} NULLS LAST, {key}"
        )
        if limit is not None:
            query, values = f"{query} LIMIT ? OFFSET ?", [*values, limit, offset]
        return self._table(query, values)

    def _curve(self, filter: Filter, decided: str, points: int | None = None) -> tuple[RiskPoint, ...]:
        where, values = cut_condition(filter)
        cuts = self._table(f"SELECT risk, seconds FROM cuts WHERE {decided} AND ({where})", values)
        return risk_curve(cuts["risk"].to_numpy(), cuts["seconds"].to_numpy(), points)

    def _table(self, query: str, values: list[Any]) -> pa.Table:
        return self._connection.cursor().sql(query, params=values).to_arrow_table()

    def _ask(self, query: str, values: list[Any]) -> duckdb.DuckDBPyConnection:
        # a cursor of its own: connections must not be shared among threads
        return self._connection.cursor().execute(query, values)


def _whole(value: Any) -> Any:
    """A whole number as an int: DuckDB's sums are wider than Python's JSON expects."""
    return value if isinstance(value, str) else int(value)


def _known(columns: Iterable[str], among: tuple[str, ...]) -> list[str]:
    """The columns as SQL names them. Raises KeyError for an unknown one: no other text becomes part of a query."""
    for column in (names := list(columns)):
        if column not in among:
            raise KeyError(f"no column {column!r} among {', '.join(among)}")
    return [f'"{column}"' for column in names]


_open: dict[Path, Catalog] = {}
_opening = Lock()


def catalog_of(corpus: Corpus) -> Catalog:
    """The catalog of a corpus as it is now; a new one is made only after its tables changed."""
    with _opening:
        known = _open.get(corpus.path)
        if known is None or not known.is_fresh(corpus):
            _open[corpus.path] = known = Catalog(corpus)
        return known

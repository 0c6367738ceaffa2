"""The figures of agreement, one row each, and their conversion to Parquet and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

from manifests.schema import SchemaError

Measure = Literal[
    "alpha",
    "ac1",
    "observed",
    "kappa",
    "iou",
    "iou_mean",
    "segment_f1",
    "event_f1",
    "accuracy",
    "reasons_f1",
    "gold_iou",
    "kept",
    "changed",
    "removed",
    "added",
    "lead_time",
    "lead_time_per_minute",
    "count",
    "edited_by_other",
]
About = Literal["verdict", "av_sync", "reason", "label", "contaminants", "regions", "work"]
Group = Literal["blind", "prelabelled", "all"]

SCHEMA = pa.schema(
    [
        pa.field("measure", pa.string(), nullable=False),
        pa.field("about", pa.string(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("group", pa.string(), nullable=False),
        pa.field("annotator", pa.string()),
        pa.field("other", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("units", pa.int64(), nullable=False),
        pa.field("note", pa.string()),
    ]
)
_KIND, _VERSION = b"lpse.agreement", b"1"
_DRAWS, _SEED = b"lpse.draws", b"lpse.seed"


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, and the number of units it is based on.

    None if it cannot be computed; `note` gives the reason, or a limitation.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    units: int = 0
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure.

    `name`: the reason, label or count it is about. `group`: over the tasks without pre-labels ("blind"), with them, or
    over all. `annotator`: of one annotator; with `other`: of a pair, in alphabetical order. `low`, `high`: the 95 %
    interval; for lead_time and lead_time_per_minute, both in seconds, the quartiles around the median. `units`: number
    of tasks it is based on; of regions for kept, changed, removed and added. An "edited_by_other" row is about one
    annotation: `name` is the task's key, `other` the person who wrote it.
    """

    measure: Measure
    about: About
    name: str | None = None
    group: Group
    annotator: str | None = None
    other: str | None = None
    value: float | None
    low: float | None = None
    high: float | None = None
    units: int
    note: str | None = None

    @classmethod
    def of(
        cls,
        estimate: Estimate,
        measure: Measure,
        about: About,
        name: str | None = None,
        *,
        group: Group,
        annotator: str | None = None,
        other: str | None = None,
    ) -> Figure:
        """The figure with the values of `estimate`."""
        return cls(
            measure=measure,
            about=about,
            name=name,
            group=group,
            annotator=annotator,
            other=other,
            **asdict(estimate),
        )


@dataclass(frozen=True)
class Agreement:
    """All figures, in a fixed order; `draws` and `seed` of the bootstrap of their intervals."""

    figures: tuple[Figure, ...]
    draws: int
    seed: int

    def select(self, measure: Measure, about: About | None = None, **wanted: str | None) -> Iterator[Figure]:
        """The figures of a measure that have the `wanted` values in the named fields."""
        for figure in self.figures:
            rest = (getattr(figure, field) == value for field, value in wanted.items())
            if figure.measure == measure and about in (None, figure.about) and all(rest):
                yield figure

    def find(
        self,
        measure: Measure,
        about: About,
        name: str | None = None,
        *,
        group: Group,
        annotator: str | None = None,
        other: str | None = None,
    ) -> Figure | None:
        """The figure with exactly these values, or None."""
        return next(self.select(measure, about, name=name, group=group, annotator=annotator, other=other), None)

    def count(self, name: str, group: Group = "all", annotator: str | None = None) -> int:
        """The count of `name` ("tasks", "shared", "annotators", "annotations", ...); 0 without a row."""
        figure = self.find("count", "work", name, group=group, annotator=annotator)
        return figure.units if figure else 0

    @property
    def annotators(self) -> tuple[str, ...]:
        """All annotators with an answer that counts, by name."""
        rows = self.select("count", "work", name="tasks", group="all")
        return tuple(sorted(row.annotator for row in rows if row.annotator is not None))


def agreement_table(agreement: Agreement) -> pa.Table:
    """The figures as an Arrow table, one row each; `read_agreement` restores them."""
    metadata = {_KIND: _VERSION, _DRAWS: str(agreement.draws), _SEED: str(agreement.seed)}
    columns = [pa.array([getattr(f, field.name) for f in agreement.figures], field.type) for field in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA.with_metadata(metadata))


def read_agreement(table: pa.Table) -> Agreement:
    """The agreement that `agreement_table` wrote. Raises SchemaError for any other table."""
    metadata = table.schema.metadata or {}
    version = metadata.get(_KIND, b"").decode(errors="replace")
    if version != _VERSION.decode():
        raise SchemaError(f"agreement: version {version!r}, must be {_VERSION.decode()!r}")
    if not table.schema.equals(SCHEMA):
        raise SchemaError(f"agreement: columns are {table.schema.names}, must be {SCHEMA.names} of their types")
    rows: list[dict[str, Any]] = table.to_pylist()
    figures = tuple(Figure(**row) for row in rows)
    return Agreement(figures, int(metadata[_DRAWS]), int(metadata[_SEED]))

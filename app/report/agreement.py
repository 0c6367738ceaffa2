"""The section about annotators: their agreement by question and by pair, and the work of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from annotation.agreement import Agreement, AgreementUnavailable, Figure, measure_agreement
from annotation.agreement.figures import About, Group, Measure
from manifests.store import Corpus

from ..display.agreement_text import (
    GROUPS,
    REGION_MEASURES,
    RELIABLE,
    TENTATIVE,
    headline,
    interval,
    listed,
    minutes,
    number,
    quartiles,
    sentences,
    share_text,
    topics,
    with_interval,
)
from ..display.text import plural

SHADES = 5  # of a kappa from 0 to 1


@dataclass(frozen=True)
class Interval:
    """A value and its interval on the axis, in per cent of its width."""

    kind: str
    place: float
    start: float
    width: float


@dataclass(frozen=True)
class Row:
    """Agreement on one question: values and their intervals as text.

    `swatch`: the label that gives the colour. `note`: the reason for a missing value.
    """

    name: str
    swatch: str | None
    intervals: Sequence[Interval]
    alpha: tuple[str, str]
    ac1: tuple[str, str]
    same: str
    units: int
    note: str


@dataclass(frozen=True)
class Forest:
    """Rows by group on one axis; `ticks`: places in per cent of its width, and their text.

    `tentative`, `reliable`: the places at which the zones begin.
    """

    groups: Sequence[tuple[str, Sequence[Row]]]
    ticks: Sequence[tuple[float, str]]
    tentative: float
    reliable: float


@dataclass(frozen=True)
class Cell:
    """The kappa of two annotators. `shade`: 0 to SHADES, None without a kappa."""

    text: str
    shade: int | None
    title: str


@dataclass(frozen=True)
class Matrix:
    """Kappas in the order of `names`; None for two annotators without a common task, and on the diagonal."""

    title: str
    names: Sequence[str]
    cells: Sequence[Sequence[Cell | None]]


@dataclass(frozen=True)
class Bar:
    """A share in per cent, None if missing. `start`, `width`: its interval, None if missing."""

    share: float | None
    start: float | None
    width: float | None
    text: str
    title: str


@dataclass(frozen=True)
class LabelRow:
    """Agreement on the regions of a label, a bar for each of REGION_MEASURES."""

    label: str
    units: int
    bars: Sequence[Bar]


@dataclass(frozen=True)
class PersonRow:
    """The work of one annotator as text. `prelabels`: shares of kept, changed and removed ones; empty if unknown."""

    name: str
    tasks: int
    skipped: int
    edited_by_other: int
    time: str
    per_minute: str
    accuracy: Bar
    accuracy_of: int
    reasons: str
    contaminants: str
    prelabels: Sequence[tuple[str, float]]
    prelabels_title: str
    added: str


@dataclass(frozen=True)
class AgreementView:
    """The section. `problem`: the reason for missing figures. `edited_by_other`: annotator, editor, task."""

    headline: str
    sentences: Sequence[str] = ()
    forest: Forest | None = None
    matrices: Sequence[Matrix] = ()
    labels: Sequence[tuple[str, Sequence[LabelRow]]] = ()
    measures: Sequence[str] = tuple(REGION_MEASURES.values())
    unmarked: str = ""
    people: Sequence[PersonRow] = ()
    against_gold: bool = False
    prelabelled: bool = False
    edited_by_other: Sequence[tuple[str, str, str]] = ()
    problem: str | None = None


def gather_agreement(corpus: Corpus, predicted: Mapping[str, int] | None = None) -> AgreementView | None:
    """The section about a corpus; None without annotations.

    `predicted`: number of regions with which each pre-labelled task was sent, by its key.
    """
    if not corpus.table("annotations").count():
        return None
    tasks, annotations, verdicts = (corpus.table(name).rows() for name in ("tasks", "annotations", "verdicts"))
    try:
        return view_agreement(measure_agreement(tasks, annotations, verdicts, predicted=predicted))
    except AgreementUnavailable as error:
        return AgreementView(headline="The agreement of annotators was not measured.", problem=str(error))


def view_agreement(agreement: Agreement) -> AgreementView:
    """The section with these figures."""
    labels = [(GROUPS[group], list(_label_rows(agreement, group))) for group in GROUPS]
    labels = [(title, rows) for title, rows in labels if rows]
    marked = {row.label for _, rows in labels for row in rows}
    questions = dict.fromkeys(figure.name for figure in agreement.select("iou", "label") if figure.name)
    people = [_person(agreement, name) for name in agreement.annotators]
    return AgreementView(
        headline=headline(agreement),
        sentences=list(sentences(agreement)),
        forest=_forest(agreement),
        matrices=[matrix for group in GROUPS if (matrix := _matrix(agreement, group))],
        labels=labels,
        unmarked=listed([label for label in questions if label not in marked]) if marked else "",
        people=people,
        against_gold=any(person.accuracy_of for person in people),
        prelabelled=any(person.prelabels for person in people),
        edited_by_other=[
            (f.annotator or "", f.other or "an unknown person", f.name or "")
            for f in agreement.select("edited_by_other")
        ],
    )


def _forest(agreement: Agreement) -> Forest | None:
    shown = [(group, list(topics(agreement, group))) for group in GROUPS if agreement.count("shared", group)]
    if not shown:
        return None
    drawn = [found[measure] for _, rows in shown for _, _, found in rows for measure in ("alpha", "ac1")]
    lows = [low for figure in drawn if figure for low in (figure.value, figure.low) if low is not None]
    # the axis begins at 0, or further left in steps of a fifth
    first = max(-1.0, min(0.0, math.floor(min(lows, default=0.0) * 5) / 5))

    def place(value: float) -> float:
        return 100 * min(max((value - first) / (1 - first), 0.0), 1.0)

    def row(name: str, swatch: str | None, found: Mapping[Measure, Figure | None]) -> Row:
        both = [figure for figure in (found["alpha"], found["ac1"]) if figure]
        intervals = []
        for figure in both:
            if figure.value is not None:
                low = figure.value if figure.low is None else figure.low
                high = figure.value if figure.high is None else figure.high
                intervals.append(Interval(figure.measure, place(figure.value), place(low), place(high) - place(low)))
        return Row(
            name=name,
            swatch=swatch,
            intervals=intervals,
            alpha=(number(found["alpha"]), interval(found["alpha"])),
            ac1=(number(found["ac1"]), interval(found["ac1"])),
            same=share_text(found["observed"]),
            units=max((figure.units for figure in both), default=0),
            note=next((figure.note for figure in both if figure.note), ""),
        )

    rows_by_group = [(GROUPS[group], [row(*one) for one in rows]) for group, rows in shown]
    ticks = [(place(mark), f"{mark:g}".replace("-", "−")) for mark in sorted({first, 0.0, TENTATIVE, RELIABLE, 1.0})]
    return Forest(rows_by_group, ticks, place(TENTATIVE), place(RELIABLE))


def _matrix(agreement: Agreement, group: Group) -> Matrix | None:
    kappas = {(f.annotator, f.other): f for f in agreement.select("kappa", "verdict", group=group)}
    names = sorted({name for pair in kappas for name in pair if name is not None})
    if not names:
        return None
    cells: list[list[Cell | None]] = []
    for one in names:
        row = (kappas.get((min(one, other), max(one, other))) for other in names)
        cells.append([_cell(figure) if figure else None for figure in row])
    return Matrix(GROUPS[group], names, cells)


def _cell(figure: Figure) -> Cell:
    title = f"{figure.annotator} and {figure.other}: {plural(figure.units, 'task')}"
    if figure.value is None:
        return Cell("–", None, f"{title}, {figure.note}")
    shade = round(max(figure.value, 0.0) * SHADES)
    return Cell(number(figure.value), shade, title)


def _label_rows(agreement: Agreement, group: Group) -> Iterator[LabelRow]:
    """The labels marked on tasks with two or more annotators; those of the vocabulary first, in its order."""
    for figure in agreement.select("iou", "label", group=group, annotator=None):
        if figure.value is not None and figure.name is not None:
            figures = [agreement.find(measure, "label", figure.name, group=group) for measure in REGION_MEASURES]
            yield LabelRow(figure.name, figure.units, [_bar(one) for one in figures])


def _bar(figure: Figure | None) -> Bar:
    if figure is None or figure.value is None:
        return Bar(None, None, None, "–", (figure.note if figure else None) or "")
    title = f"{with_interval(figure)}, {plural(figure.units, 'task')}"
    if figure.low is None or figure.high is None:
        return Bar(100 * figure.value, None, None, number(figure.value), title)
    return Bar(100 * figure.value, 100 * figure.low, 100 * (figure.high - figure.low), number(figure.value), title)


def _person(agreement: Agreement, name: str) -> PersonRow:
    def of(measure: Measure, about: About, group: Group = "all") -> Figure | None:
        return agreement.find(measure, about, group=group, annotator=name)

    accuracy = of("accuracy", "verdict")
    kinds: tuple[Measure, ...] = ("kept", "changed", "removed")
    shares = [(measure, of(measure, "regions", "prelabelled")) for measure in kinds]
    prelabels = [(measure, 100 * figure.value) for measure, figure in shares if figure and figure.value is not None]
    units = next((figure.units for _, figure in shares if figure), 0)
    return PersonRow(
        name=name,
        tasks=agreement.count("tasks", annotator=name),
        skipped=agreement.count("skipped", annotator=name),
        edited_by_other=agreement.count("edited_by_other", annotator=name),
        time=quartiles(of("lead_time", "work")),
        per_minute=minutes(of("lead_time_per_minute", "work")),
        accuracy=replace(_bar(accuracy), text=share_text(accuracy)),
        accuracy_of=accuracy.units if accuracy else 0,
        reasons=number(of("reasons_f1", "reason")),
        contaminants=number(of("gold_iou", "contaminants")),
        prelabels=prelabels,
        prelabels_title=f"{plural(units, 'pre-label')}: "
        + ", ".join(f"{share:.0f} % {kind}" for kind, share in prelabels),
        added=share_text(of("added", "regions", "prelabelled")),
    )

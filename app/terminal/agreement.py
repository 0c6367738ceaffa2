"""`lpse annotate agreement`: the figures as tables for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from annotation.agreement import Agreement, Figure
from annotation.agreement.figures import Group, Measure

from ..display.agreement_text import (
    GROUPS,
    REGION_MEASURES,
    band,
    headline,
    interval,
    minutes,
    number,
    sentences,
    share_text,
    topics,
)
from ..display.text import visible

_COLOURS = {"reliable": "green", "tentative": "yellow"}


def show_agreement(agreement: Agreement, console: Console | None = None) -> None:
    """Print how far annotators agree, and how each works; what cannot be said is said to be so."""
    out = console or Console()
    out.print(Text(headline(agreement)), style="bold", soft_wrap=True, highlight=False)
    for sentence in sentences(agreement):
        out.print(Text(sentence), soft_wrap=True, highlight=False)
    for group in GROUPS:
        if agreement.count("shared", group):
            out.print(_coefficients(agreement, group))
            for table in (_kappas(agreement, group), _regions(agreement, group)):
                if table.row_count:
                    out.print(table)
    for table in (_people(agreement), _prelabels(agreement), _forged(agreement)):
        if table.row_count:
            out.print(table)


def _table(title: str, *columns: str) -> Table:
    """The first column is text, the others figures."""
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    return table


def _coefficients(agreement: Agreement, group: Group) -> Table:
    table = _table(f"Agreement {GROUPS[group]}", "on", "alpha", "interval", "AC1", "interval", "same", "tasks")
    for name, _, found in topics(agreement, group):
        alpha, ac1 = found["alpha"], found["ac1"]
        value = number(alpha)
        if alpha and alpha.value is not None:
            value = f"[{_COLOURS.get(band(alpha.value), 'red')}]{value}[/]"
        units = max((figure.units for figure in (alpha, ac1) if figure), default=0)
        said = [value, interval(alpha), number(ac1), interval(ac1), share_text(found["observed"]), str(units)]
        table.add_row(_name(name), *said)
        note = next((figure.note for figure in (alpha, ac1) if figure and figure.note), None)
        if note:
            table.add_row(f"[dim]  {escape(note)}[/dim]")
    return table


def _kappas(agreement: Agreement, group: Group) -> Table:
    table = _table(f"Cohen's kappa on the verdict {GROUPS[group]}", "pair", "kappa", "tasks")
    for figure in agreement.select("kappa", "verdict", group=group):
        pair = f"{_name(figure.annotator)} and {_name(figure.other)}"
        table.add_row(pair, number(figure), str(figure.units))
    return table


def _regions(agreement: Agreement, group: Group) -> Table:
    table = _table(f"Regions in pairs of people {GROUPS[group]}", "label", *REGION_MEASURES.values(), "tasks")
    for figure in agreement.select("iou", "label", group=group, annotator=None):
        if figure.value is not None:
            found = [agreement.find(measure, "label", figure.name, group=group) for measure in REGION_MEASURES]
            # below each other: four intervals beside their values are wider than most terminals
            said = (f"{number(one)}\n[dim]{interval(one)}[/dim]" for one in found)
            table.add_row(_name(figure.name), *said, str(figure.units))
    return table


def _people(agreement: Agreement) -> Table:
    table = _table("Annotators", "name", "tasks", "time", "a minute", "right", "IoU", "edited_by_other")
    for name in agreement.annotators:
        table.add_row(
            _name(name),
            str(agreement.count("tasks", annotator=name)),
            minutes(_of(agreement, "lead_time", name)),
            minutes(_of(agreement, "lead_time_per_minute", name)),
            share_text(_of(agreement, "accuracy", name)),
            number(_of(agreement, "gold_iou", name)),
            str(agreement.count("edited_by_other", annotator=name) or ""),
        )
    return table


def _prelabels(agreement: Agreement) -> Table:
    shares: tuple[Measure, ...] = ("kept", "changed", "removed", "added")
    table = _table("What became of pre-labels", "name", *shares)
    for name in agreement.annotators:
        found = [_of(agreement, share, name) for share in shares]
        if any(figure and figure.value is not None for figure in found):
            table.add_row(_name(name), *map(share_text, found))
    return table


def _of(agreement: Agreement, measure: Measure, annotator: str) -> Figure | None:
    """The one figure of a measure that there is for each annotator."""
    return next(agreement.select(measure, annotator=annotator), None)


def _forged(agreement: Agreement) -> Table:
    table = Table(title="Forged, and left out", title_justify="left")
    for column in ("annotator", "written by", "task"):
        table.add_column(column)
    for figure in agreement.select("edited_by_other"):
        table.add_row(_name(figure.annotator), _name(figure.other or "an unknown person"), _name(figure.name))
    return table


def _name(text: str | None) -> str:
    return escape(visible(text or ""))

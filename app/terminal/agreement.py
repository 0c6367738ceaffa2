"""The figures of `lpse annotate agreement` as tables for the terminal."""

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
from .tables import new_table

_COLOURS = {"reliable": "green", "tentative": "yellow"}


def show_agreement(agreement: Agreement, console: Console | None = None) -> None:
    """Print the agreement of annotators and the work of each, with a note where a figure is unknown."""
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
    for table in (_people(agreement), _prelabels(agreement), _edited(agreement)):
        if table.row_count:
            out.print(table)


def _coefficients(agreement: Agreement, group: Group) -> Table:
    table = new_table(
        f"Agreement {GROUPS[group]}", "question", "alpha", "interval", "AC1", "interval", "same answer", "tasks"
    )
    for name, _, found in topics(agreement, group):
        alpha, ac1 = found["alpha"], found["ac1"]
        value = number(alpha)
        if alpha and alpha.value is not None:
            value = f"[{_COLOURS.get(band(alpha.value), 'red')}]{value}[/]"
        units = max((figure.units for figure in (alpha, ac1) if figure), default=0)
        cells = [value, interval(alpha), number(ac1), interval(ac1), share_text(found["observed"]), str(units)]
        table.add_row(_name(name), *cells)
        note = next((figure.note for figure in (alpha, ac1) if figure and figure.note), None)
        if note:
            table.add_row(f"[dim]  {escape(note)}[/dim]")
    return table


def _kappas(agreement: Agreement, group: Group) -> Table:
    table = new_table(f"Cohen's kappa on the verdict {GROUPS[group]}", "pair", "kappa", "tasks")
    for figure in agreement.select("kappa", "verdict", group=group):
        pair = f"{_name(figure.annotator)} and {_name(figure.other)}"
        table.add_row(pair, number(figure), str(figure.units))
    return table


def _regions(agreement: Agreement, group: Group) -> Table:
    table = new_table(f"Regions, in pairs of annotators {GROUPS[group]}", "label", *REGION_MEASURES.values(), "tasks")
    for figure in agreement.select("iou", "label", group=group, annotator=None):
        if figure.value is not None:
            found = [agreement.find(measure, "label", figure.name, group=group) for measure in REGION_MEASURES]
            # the interval below its value: four intervals in a row are wider than most terminals
            cells = (f"{number(one)}\n[dim]{interval(one)}[/dim]" for one in found)
            table.add_row(_name(figure.name), *cells, str(figure.units))
    return table


def _people(agreement: Agreement) -> Table:
    table = new_table(
        "Annotators", "name", "tasks", "time per task", "per minute", "correct", "IoU", "edited by others"
    )
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
    table = new_table("Pre-labels", "name", *shares)
    for name in agreement.annotators:
        found = [_of(agreement, share, name) for share in shares]
        if any(figure and figure.value is not None for figure in found):
            table.add_row(_name(name), *map(share_text, found))
    return table


def _of(agreement: Agreement, measure: Measure, annotator: str) -> Figure | None:
    """The figure of a measure that each annotator has once."""
    return next(agreement.select(measure, annotator=annotator), None)


def _edited(agreement: Agreement) -> Table:
    table = Table("annotator", "edited by", "task", title="Edited by others, excluded", title_justify="left")
    for figure in agreement.select("edited_by_other"):
        table.add_row(_name(figure.annotator), _name(figure.other or "an unknown person"), _name(figure.name))
    return table


def _name(text: str | None) -> str:
    return escape(visible(text or ""))

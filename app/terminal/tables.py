"""Tables for the terminal: the account of a corpus after a run, and the results of the rounds of annotation."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from annotation.rounds.adjudicate import Adjudicated
from annotation.rounds.pull import Pulled
from annotation.rounds.push import Delivery
from curation.catalog.accounting import DECISIONS, CorpusAccount
from curation.pipeline.coverage import CascadeAccount, Need
from curation.pipeline.result import CurationResult

from ..display.text import clock, long_clock, outcome_name, percent, plain, plural, verdict_name

COLOURS = {"accept": "green", "review": "yellow", "reject": "red"}


def show_summary(result: CurationResult, console: Console | None = None) -> None:
    """Print the account of the corpus after a run, and what the run scored."""
    out = console or Console()
    out.print(_outcomes(result.account))
    if result.scored:
        out.print(_scored(result.scored))
    if result.cascade and result.cascade.duration:
        out.print(_saving(result.cascade))
    if result.account.drops:
        out.print(_drops(result.account))


def new_table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose other columns are numbers."""
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    return table


def _outcomes(account: CorpusAccount) -> Table:
    title = f"{plural(account.recordings, 'recording')}, {long_clock(account.duration)}"
    table = new_table(title, "outcome", "cuts", "time", "share")
    cuts = {decision: account.cuts[decision].cuts for decision in DECISIONS}
    for outcome, seconds in account.seconds.items():
        count = {str(name): number for name, number in cuts.items()}.get(outcome)
        if seconds or count:
            shown = "" if count is None else f"{count:,}"
            share = percent(seconds, account.duration)
            table.add_row(outcome_name(outcome), shown, long_clock(seconds), share, style=COLOURS.get(outcome))
    return table


def _drops(account: CorpusAccount) -> Table:
    table = new_table("Dropped", "reason", "items", "time")
    for total in account.drops:
        seconds = "" if total.seconds is None else long_clock(total.seconds)
        table.add_row(plain(total.reason), plural(total.items, total.item_kind), seconds)
    return table


def _saving(cascade: CascadeAccount) -> Table:
    rejected = (
        f"{long_clock(cascade.rejected)} of {long_clock(cascade.duration)} "
        f"({percent(cascade.rejected, cascade.duration)})"
    )
    table = new_table(f"Cascade: {rejected} rejected before it", "detector", "scored", "saved")
    for name, seconds in cascade.scored.items():
        table.add_row(name, long_clock(seconds), percent(cascade.duration - seconds, cascade.duration))
    return table


def _scored(needs: Mapping[str, Need]) -> Table:
    table = new_table("Missing scores, added by this run", "detector", "time", "recordings")
    for name, need in needs.items():
        table.add_row(name, long_clock(need.seconds), f"{need.recordings:,}")
    return table


def show_delivery(delivery: Delivery, console: Console | None = None) -> None:
    """Print the tasks that a push sent, those sent before, and those that cannot be sent."""
    out = console or Console()
    table = new_table(f"Round {delivery.round}", "tasks", "sent", "sent before")
    for purpose in sorted({*delivery.sent, *delivery.there}):
        table.add_row(purpose, str(delivery.sent.get(purpose, 0)), str(delivery.there.get(purpose, 0)))
    out.print(table)
    if delivery.repaired:
        out.print(f"{plural(delivery.repaired, 'duplicate task')} removed from Label Studio.")
    for (recording, start, end), (reason, detail) in delivery.problems.items():
        line = f"{recording} {clock(start / 1000)} to {clock(end / 1000)} has no task: {plain(reason)}: {detail}"
        out.print(escape(line), style="yellow")
    for title, address in delivery.projects.items():
        out.print(f"{escape(title)}: {address}", soft_wrap=True)


def show_pulled(pulled: Pulled, console: Console | None = None) -> None:
    """Print the number of answers that a pull fetched, and those that need attention."""
    out = console or Console()
    out.print(
        f"{plural(pulled.tasks, 'task')} read: {plural(pulled.new, 'new answer')}, {pulled.changed} changed, "
        f"{pulled.deleted} deleted, {pulled.skipped} skipped"
    )
    for line in (*pulled.edited_by_other, *pulled.problems):
        out.print(escape(line), style="yellow", soft_wrap=True)


def show_adjudicated(result: Adjudicated, console: Console | None = None) -> None:
    """Print the new verdicts, and the spans without one."""
    out = console or Console()
    table = new_table(plural(len(result.verdicts), "new verdict"), "decision", "spans", "time")
    for decision in ("keep", "reject", "unsure"):
        rows = [row for row in result.verdicts if row.decision == decision]
        if rows:
            seconds = sum(row.segment.duration for row in rows)
            table.add_row(verdict_name(decision), f"{len(rows):,}", long_clock(seconds))
    if result.verdicts:
        out.print(table)
    else:
        out.print("No new verdicts.")
    for conflict in result.conflicts:
        at = f"{conflict.window.recording_id} {clock(conflict.window.start_ms / 1000)}"
        out.print(escape(f"conflict at {at}: {conflict.cause}"), style="yellow", soft_wrap=True)
    if result.incomplete:
        out.print(f"{plural(len(result.incomplete), 'span')} not annotated in full yet.")
    if result.delivery:
        show_delivery(result.delivery, out)

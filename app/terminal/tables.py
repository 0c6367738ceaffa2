"""What a run ends with: where the hours went, what did not make it and why."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from annotation.rounds.adjudicate import Adjudicated
from annotation.rounds.pull import Pulled
from annotation.rounds.push import Delivery
from curation.catalog.accounting import CorpusAccount, corpus_account
from curation.pipeline.coverage import CascadeAccount, Need
from curation.pipeline.curate import CurationResult
from manifests.store import Corpus

NAMES = {
    "accept": "accepted",
    "review": "for review",
    "reject": "rejected",
    "too_short": "too short, or beside an event",
    "duplicate": "in a kept copy",
    "unheard": "not decided on",
}
COLOURS = {"accept": "green", "review": "yellow", "reject": "red"}


def show_summary(corpus: Corpus, result: CurationResult, console: Console | None = None) -> None:
    """Print the account of a corpus, and the result of the run over it."""
    tables = ("recordings", "events", "cuts", "drops", "duplicates")
    account = corpus_account(*(corpus.table(name).rows() for name in tables))
    out = console or Console()
    out.print(_hours(account))
    if result.scored:
        out.print(_scored(result.scored))
    if result.cascade and result.cascade.duration:
        out.print(_saving(result.cascade))
    if account.drops:
        out.print(_drops(account))


def _hours(account: CorpusAccount) -> Table:
    table = Table(title=f"{account.recordings} recordings, {clock(account.duration)}", title_justify="left")
    table.add_column("what became of the time")
    for column in ("cuts", "time", "share"):
        table.add_column(column, justify="right")
    for fate, seconds in account.seconds.items():
        total = account.cuts.get(fate)  # type: ignore[call-overload]
        if not seconds and not (total and total.cuts):
            continue
        share = percent(seconds, account.duration) if account.duration else ""
        count = str(total.cuts) if total else ""
        table.add_row(NAMES.get(fate, fate), count, clock(seconds), share, style=COLOURS.get(fate))
    return table


def _drops(account: CorpusAccount) -> Table:
    table = Table(title="Did not make it", title_justify="left")
    table.add_column("reason")
    for column in ("items", "time"):
        table.add_column(column, justify="right")
    for total in account.drops:
        plural = "" if total.items == 1 else "s"
        seconds = "" if total.seconds is None else clock(total.seconds)
        table.add_row(total.reason.replace("_", " "), f"{total.items} {total.item_kind}{plural}", seconds)
    return table


def _saving(cascade: CascadeAccount) -> Table:
    rejected = f"{clock(cascade.rejected)} of {clock(cascade.duration)}, {percent(cascade.rejected, cascade.duration)}"
    table = Table(title=f"Cascade: rejected without it {rejected}", title_justify="left")
    for column in ("detector", "scored", "saved"):
        table.add_column(column, justify="left" if column == "detector" else "right")
    for name, seconds in cascade.scored.items():
        table.add_row(name, clock(seconds), percent(cascade.duration - seconds, cascade.duration))
    return table


def _scored(needs: Mapping[str, Need]) -> Table:
    table = Table(title="Scored in this run, as the recipe needs it", title_justify="left")
    for column in ("detector", "time", "recordings"):
        table.add_column(column, justify="left" if column == "detector" else "right")
    for name, need in needs.items():
        table.add_row(name, clock(need.seconds), str(need.recordings))
    return table


def show_delivery(delivery: Delivery, console: Console | None = None) -> None:
    """Print what a push sent, what was there already and what could not be."""
    out = console or Console()
    table = Table(title=f"Round {delivery.round}", title_justify="left")
    for column in ("tasks", "sent", "there already"):
        table.add_column(column, justify="left" if column == "tasks" else "right")
    for purpose in sorted({*delivery.sent, *delivery.there}):
        table.add_row(purpose, str(delivery.sent.get(purpose, 0)), str(delivery.there.get(purpose, 0)))
    out.print(table)
    if delivery.repaired:
        out.print(f"{delivery.repaired} tasks were there twice, after lost answers; one of each was removed")
    for (recording, start, end), (reason, detail) in delivery.problems.items():
        line = f"{recording} {clock(start / 1000)} to {clock(end / 1000)} cannot be heard: {reason}: {detail}"
        out.print(escape(line), style="yellow")
    for title, address in delivery.projects.items():
        out.print(f"{escape(title)}: {address}", soft_wrap=True)


def show_pulled(pulled: Pulled, console: Console | None = None) -> None:
    """Print what a pull brought, and what has to be looked at."""
    out = console or Console()
    out.print(
        f"{pulled.new} new answers, {pulled.changed} changed, {pulled.deleted} deleted, {pulled.skipped} skipped "
        f"({pulled.tasks} tasks looked at)"
    )
    for line in (*pulled.edited_by_other, *pulled.problems):
        out.print(escape(line), style="yellow", soft_wrap=True)


def show_adjudicated(result: Adjudicated, console: Console | None = None) -> None:
    """Print the verdicts that were written, and what is open."""
    out = console or Console()
    table = Table(title=f"{len(result.verdicts)} new verdicts", title_justify="left")
    for column in ("decision", "spans", "time"):
        table.add_column(column, justify="left" if column == "decision" else "right")
    for decision in ("keep", "reject", "unsure"):
        rows = [row for row in result.verdicts if row.decision == decision]
        if rows:
            table.add_row(decision, str(len(rows)), clock(sum(row.segment.duration for row in rows)))
    if result.verdicts:
        out.print(table)
    else:
        out.print("no new verdicts")
    for conflict in result.conflicts:
        at = f"{conflict.window.recording_id} {clock(conflict.window.start_ms / 1000)}"
        out.print(escape(f"conflict at {at}: {conflict.cause}"), style="yellow", soft_wrap=True)
    waiting = len(result.incomplete)
    if waiting:
        out.print(f"{waiting} spans are not heard in full yet")
    if result.delivery:
        show_delivery(result.delivery, out)


def percent(part: float, whole: float) -> str:
    """A share with one decimal."""
    return f"{100 * part / whole:.1f} %"


def clock(seconds: float) -> str:
    """h:mm:ss, whole seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"

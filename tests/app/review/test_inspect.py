"""Deciding through the page in a real browser: the Parquet holds exactly what was done there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from annotation.rounds.review import ReviewRequest, decide_span, recording_state
from app.review.actions import read
from app.review.pages.inspect import _search
from app.review.shell import Shell
from manifests.records import Cut, Recording
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.time import to_ms
from tests.support.browser import Page
from tests.support.inspect_page import Player, app_of, cuts_of, fresh, open_player, verdicts


@dataclass(frozen=True)
class Desk:
    """A corpus in the app, and what it was copied from."""

    source: Path
    folder: Path
    address: str

    def open(self, page: Page) -> tuple[Corpus, Player, Cut]:
        """The recording of the yard as it was curated, its first cut selected."""
        page.visit("about:blank")
        corpus = fresh(self.source, self.folder)
        recording_id = next(row.recording_id for row in corpus.rows(Recording) if "yard" in row.uri)
        return corpus, open_player(page, self.address, recording_id), cuts_of(corpus, recording_id)[0]


@pytest.fixture(scope="module")
def desk(curated_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("decided")
    corpus = fresh(curated_once, folder)
    with app_of(corpus.path) as address:
        yield Desk(curated_once, folder, address)


def said(player: Player, text: str) -> None:
    player.wait(f'root.querySelector(".notice").innerText.includes({text!r})')


def test_reject_and_undo(desk: Desk, page: Page) -> None:
    corpus, player, cut = desk.open(page)
    before = cuts_of(corpus, cut.recording_id)
    player.click(".reason", "speech")
    player.run("""(() => { const c = root.querySelector(".comment"); c.value = "<b>he talks</b>"; })()""")
    player.click(".act.reject")
    said(player, "Rejected 0:00 to 1:29")
    (row,) = verdicts(corpus)
    assert (row.recording_id, row.start_ms, row.end_ms) == (cut.recording_id, to_ms(cut.start), to_ms(cut.end))
    assert (row.decision, row.reasons, row.comment, row.method) == (
        "reject",
        ("speech",),
        "<b>he talks</b>",
        "reviewer",
    )
    assert row.author and row.supersedes is None
    after = cuts_of(corpus, cut.recording_id)
    assert (after[0].cut_id, after[0].decision, after[0].reasons) == (cut.cut_id, "reject", ("listener_speech",))
    assert after[1:] == before[1:]
    assert "<b>he talks</b>" in player.text
    player.key("u")
    said(player, "Undone")
    first, second = verdicts(corpus)
    assert first == row
    assert (second.decision, second.supersedes, second.author) == ("open", row.verdict_id, row.author)
    assert (second.start_ms, second.end_ms) == (row.start_ms, row.end_ms)
    assert cuts_of(corpus, cut.recording_id) == before


def test_trim_writes_a_new_cut_with_its_parent(desk: Desk, page: Page) -> None:
    corpus, player, cut = desk.open(page)
    assert player.run('root.querySelector(".act.trim").disabled') is True
    left, top, width, height = player.box(".handle.start")
    track = player.box(".track")
    per_second = track[2] / 200
    grip = (left + width / 2, top + height / 2)
    player.drag(grip, (track[0] + 10 * per_second, grip[1]))
    player.run('root.querySelector(".handle.end").focus()')
    for _ in range(5):
        player.key("ArrowLeft", shift=True)
    start, end = (
        float(player.run(f'root.querySelector(".handle.{edge}").getAttribute("aria-valuenow")'))
        for edge in ("start", "end")
    )
    assert start == pytest.approx(10.0, abs=0.3) and end == pytest.approx(cut.end - 5, abs=1e-3)
    player.key("t")
    said(player, "Trimmed 0:00 to 1:29")
    (row,) = verdicts(corpus)
    assert (row.decision, row.start_ms, row.end_ms) == ("keep", to_ms(cut.start), to_ms(cut.end))
    gone = [(to_ms(one.start), to_ms(one.end), one.label) for one in row.excised]
    assert gone == [(to_ms(cut.start), to_ms(start), "trimmed"), (to_ms(end), to_ms(cut.end), "trimmed")]
    trimmed = cuts_of(corpus, cut.recording_id)[0]
    assert (to_ms(trimmed.start), to_ms(trimmed.end)) == (to_ms(start), to_ms(end))
    assert (trimmed.parent_cut_id, trimmed.decision) == (cut.cut_id, "accept")
    player.wait('root.querySelector(".pill.accept")')
    player.click(".notice .small", "Undo")
    said(player, "Undone")
    assert cuts_of(corpus, cut.recording_id)[0] == cut


def test_a_trim_that_leaves_too_little_is_not_offered(desk: Desk, page: Page) -> None:
    corpus, player, _ = desk.open(page)
    player.run('root.querySelector(".handle.end").focus()')
    for _ in range(35):
        player.key("ArrowLeft", shift=True)
    assert "too short, a cut must last 60 s" in player.text
    assert player.run('root.querySelector(".act.trim").disabled') is True
    player.key("t")
    player.key("Escape")
    assert "too short, a cut" not in player.text
    assert verdicts(corpus) == []


def test_keep_ask_comment_and_a_selection(desk: Desk, page: Page) -> None:
    corpus, player, cut = desk.open(page)
    player.click(".act.keep")
    said(player, "Kept")
    assert cuts_of(corpus, cut.recording_id)[0].decision == "accept"
    player.run('root.querySelector(".comment").value = "a gate"')
    player.click(".act.open")
    said(player, "Comment saved for")
    player.click(".act.ask")
    said(player, "Sent to annotators")
    kept, comment, asked = verdicts(corpus)
    assert [kept.decision, comment.decision, asked.decision] == ["keep", "open", "unsure"]
    assert (kept.comment, comment.comment, comment.supersedes) == (None, "a gate", None)
    assert "asked" in asked.reasons
    assert cuts_of(corpus, cut.recording_id)[0].decision == "review"
    left, top, width, height = player.box(".track")
    player.drag((left + width * 0.6, top + height * 0.6), (left + width * 0.7, top + height * 0.6))
    player.click(".act.reject")
    said(player, "Rejected 2:00 to 2:20")
    last = verdicts(corpus)[-1]
    assert last.start_ms == pytest.approx(120_000, abs=300) and last.end_ms == pytest.approx(140_000, abs=300)
    refused = [cut for cut in cuts_of(corpus, cut.recording_id) if cut.decision == "reject"]
    assert [(to_ms(one.start), to_ms(one.end)) for one in refused] == [(last.start_ms, last.end_ms)]


def test_the_second_of_two_reviewers_is_shown_what_changed(desk: Desk, page: Page) -> None:
    corpus, player, cut = desk.open(page)
    seen = recording_state(corpus, cut.recording_id).seen
    span = (cut.recording_id, to_ms(cut.start), to_ms(cut.end))
    other = decide_span(
        corpus, ReviewRequest(*span, "reject", "Ada *<i>L</i>*", seen, reasons=("music",), comment="a tune")
    ).verdict
    player.click(".act.keep")
    said(player, "Not saved")
    said(player, "Ada *<i>L</i>*")
    said(player, "a tune")
    assert verdicts(corpus) == [other]
    assert player.run('root.querySelector(".pill").innerText') == "R rejected"
    player.click(".notice .small", "Keep theirs")
    player.wait('root.querySelector(".notice").hidden')
    assert verdicts(corpus) == [other]
    # now it was seen: deciding otherwise takes its place
    player.click(".act.keep")
    said(player, "Kept")
    assert [row.supersedes for row in verdicts(corpus)] == [None, other.verdict_id]

    corpus, player, cut = desk.open(page)
    other = decide_span(corpus, ReviewRequest(*span, "reject", "Ada", frozenset())).verdict
    player.click(".act.keep")
    said(player, "Not saved")
    player.click(".notice .small", "Save my decision")
    said(player, "Kept")
    assert [(row.decision, row.supersedes) for row in verdicts(corpus)] == [
        ("reject", None),
        ("keep", other.verdict_id),
    ]


def test_going_on_to_the_next_cut_for_review(desk: Desk, page: Page) -> None:
    corpus, player, cut = desk.open(page)
    second = cuts_of(corpus, cut.recording_id)[1]
    player.run('root.querySelector(".onward input").click()')
    player.click(".act.keep")
    said(player, "Kept")
    player.wait(f'Math.abs(root.querySelector(".film").currentTime - {second.start}) < 0.1')
    player.run('root.querySelector(".onward input").click()')
    player.key("P", shift=True)
    player.wait('root.querySelector(".title").textContent.includes("pond")')


def test_who_has_no_name_decides_nothing(desk: Desk, page: Page) -> None:
    corpus, player, _ = desk.open(page)
    field = """document.querySelector('input[aria-label="Reviewer"]')"""
    page.run(f"({field}.focus(), {field}.select())")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Backspace", code="Backspace", windowsVirtualKeyCode=8)
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", text="\r")
    page.wait_for('document.body.innerText.includes("Enter your name")')
    page.wait_for("""!!document.querySelector('.stApp[data-test-script-state="notRunning"]')""")
    player.click(".act.keep")
    said(player, "enter your name")
    assert verdicts(corpus) == []


def test_what_a_browser_sends_is_checked() -> None:
    good = {
        "action": "trim",
        "recording_id": "a",
        "start_ms": 0,
        "end_ms": 9.0,
        "keep": [1, 8],
        "reasons": [],
        "comment": "",
        "go": True,
    }
    asked = read(good)
    assert (asked.start_ms, asked.end_ms, asked.keep, asked.go) == (0, 9, (1, 8), True)
    for wrong, text in (
        ({"action": "drop"}, "action 'drop' is not one of keep"),
        ({"start_ms": "0"}, "start_ms must be a whole number"),
        ({"end_ms": 1.5}, "end_ms must be a whole number"),
        ({"end_ms": True}, "end_ms must be a whole number"),
        ({"keep": [1]}, "keep must be two numbers"),
        ({"reasons": ["a", 1]}, "reasons must be a list"),
        ({"recording_id": 5}, "recording_id must be text"),
        ({"comment": "x" * 2001}, "2001 characters, the limit is 2000"),
    ):
        with pytest.raises(CorpusError, match=text):
            read(good | wrong)


def test_recordings_are_searched(review_corpus: Corpus) -> None:
    shell = Shell(review_corpus, "ann")
    everything, count = _search(shell, "")
    assert count == len(everything) == 5 and list(everything.values()) == sorted(everything.values())
    assert list(_search(shell, " YARD ")[0].values()) == ["yard-with-a-conversation.mp4"]
    first = next(iter(everything))
    assert _search(shell, first[:9]) == ({first: everything[first]}, 1)
    assert _search(shell, "%.*") == ({}, 0)
    assert _search(shell, "x" * 1000) == ({}, 0)

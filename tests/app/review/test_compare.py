"""Compare: two sounds of a cut are heard blind in a real browser, rated, and only then named."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from curation.media import mono_span
from manifests.generated import generated_sounds, sound_path, write_notes
from manifests.records import Cut, Rating, Recording
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.uris import resolve
from model.generation.wav import write_wav
from tests.support.browser import Page
from tests.support.visit import cookie, open_page, wait_text

Served = Callable[[Corpus], str]

RATE, JOINS = 16_000, (8.0, 16.0)
NAMES = ("with-adapters", "reference")
HERE = "[...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('.compare')).find(Boolean)"
SOUNDS = f"[...({HERE}).querySelectorAll('audio')]"


@pytest.fixture
def cut(review_corpus: Corpus) -> Cut:
    """An accepted cut with pictures, for which a system generated a hum."""
    films: dict[str, Recording] = {row.recording_id: row for row in review_corpus.rows(Recording) if row.has_video}
    chosen: Cut = next(row for row in review_corpus.rows(Cut) if row.decision == "accept" and row.recording_id in films)
    path = sound_path(review_corpus, "with-adapters", chosen.cut_id)
    path.parent.mkdir(parents=True)
    count = int(chosen.segment.duration * RATE)
    hum = (0.1 * np.sin(2 * np.pi * 100 * np.arange(count) / RATE)).astype(np.float32)
    write_wav(path, [hum], RATE, count)
    write_notes(path, JOINS, {"seed": 0})
    return chosen


def said(address: str, path: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(address + path, headers={"Cookie": cookie(address), **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def loaded(page: Page) -> None:
    page.wait_for(f"!!({HERE}) && {SOUNDS}.length === 2 && {SOUNDS}.every((s) => s.readyState > 0)")


def press(page: Page, key: str) -> None:
    page.run(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: {json.dumps(key)}, bubbles: true}}))")


def test_two_sounds_are_heard_blind_rated_and_then_named(
    review_corpus: Corpus, cut: Cut, served: Served, page: Page
) -> None:
    address = served(review_corpus)
    open_page(page, address, "compare")
    loaded(page)
    names = f"[...({HERE}).querySelectorAll('.system')].map((e) => e.textContent)"
    assert page.run(names) == ["Sound A", "Sound B"]
    assert not page.run(f"({HERE}).querySelector('.mark')"), "joins would tell which is which"

    press(page, "b")
    page.wait_for(f"{SOUNDS}[1].currentTime > 0.4 && {SOUNDS}[0].paused")
    page.wait_for(f"({HERE}).querySelector('video').currentTime > {cut.start}")
    at = page.run(f"{SOUNDS}[1].currentTime")
    press(page, "a")
    page.wait_for(f"!{SOUNDS}[0].paused && {SOUNDS}[1].paused")
    assert page.run(f"{SOUNDS}[0].currentTime") >= at - 0.05, "the other sound goes on at the same instant"

    send = f"({HERE}).querySelector('.send')"
    press(page, "4")
    assert page.run(f"{send}.disabled"), "both are scored"
    press(page, "b")
    press(page, "2")
    assert not page.run(f"{send}.disabled")
    page.run(f"({HERE}).querySelectorAll('.better input')[0].click()")
    page.run(f"({HERE}).querySelector('.comment').value = '<b>hums</b>'")
    assert review_corpus.table("ratings").count() == 0
    page.run(f"{send}.click()")
    page.wait_for(f"({names}).every((name) => {json.dumps(NAMES)}.includes(name))")

    shown = page.run(names)
    rows = {row.system: row for row in review_corpus.rows(Rating)}
    assert set(rows) == set(NAMES)
    assert (rows[shown[0]].score, rows[shown[0]].preferred) == (4, True)
    assert (rows[shown[1]].score, rows[shown[1]].preferred) == (2, False)
    assert {row.cut_id for row in rows.values()} == {cut.cut_id}
    assert {row.comment for row in rows.values()} == {"<b>hums</b>"}
    assert not [url for url in page.requested if "with-adapters" in url or "reference" in url]

    marks = f"[...({HERE}).querySelectorAll('.mark')]"
    page.wait_for(f"{marks}.length === 2")
    page.run(f"{marks}[1].click()")
    page.wait_for(f"{SOUNDS}[0].currentTime >= 13.9 || {SOUNDS}[1].currentTime >= 13.9")
    wait_text(page, "with-adapters")  # how the systems stand
    assert not [text for text in page.complaints if "ERR_" in text]


def test_both_sounds_come_alike(review_corpus: Corpus, cut: Cut, served: Served, page: Page) -> None:
    address = served(review_corpus)
    open_page(page, address, "compare")
    loaded(page)
    urls = sorted({url.removeprefix(address) for url in page.requested if "/lpse/trial/" in url})
    assert len(urls) == 2
    waves = {}
    for url in urls:
        status, body = said(address, url)
        assert status == 200
        with soundfile.SoundFile(io.BytesIO(body)) as wav:
            assert (wav.samplerate, wav.channels, wav.subtype) == (RATE, 1, "PCM_16")
            waves[url] = wav.read(dtype="float32")
    first, second = waves.values()
    assert len(first) == len(second) == int(min(cut.segment.duration, 120) * RATE)
    (recording,) = (row for row in review_corpus.rows(Recording) if row.recording_id == cut.recording_id)
    path = resolve(recording.uri, review_corpus.roots)
    real = mono_span(path, cut.start, cut.start + len(first) / RATE, RATE)
    assert min(float(np.abs(one - real).max()) for one in waves.values()) < 2**-14

    assert said(address, urls[0], Host="elsewhere.example")[0] in (400, 403)
    assert said(address, urls[0][:-1] + "c")[0] == 404
    assert said(address, "/lpse/trial/0123/a")[0] == 404


def test_without_generated_sound_the_page_says_what_to_do(review_corpus: Corpus, served: Served, page: Page) -> None:
    open_page(page, served(review_corpus), "compare")
    wait_text(page, "lpse generate CUT")


def test_a_sound_that_cannot_be_read_is_passed_over(
    review_corpus: Corpus, cut: Cut, served: Served, page: Page
) -> None:
    sound_path(review_corpus, "with-adapters", cut.cut_id).write_bytes(b"no sound")
    open_page(page, served(review_corpus), "compare")
    wait_text(page, "is left out")
    wait_text(page, "No cut has audio of two of these systems")


@pytest.mark.parametrize(
    ("system", "cut_id", "words"),
    [
        ("../up", "0123", "make a name"),
        ("", "0123", "make a name"),
        (".hidden", "0123", "make a name"),
        ("reference", "0123", "the real sound"),
        ("mine", "film.mp4", "name a cut's id"),
        ("mine", "../0123", "name a cut's id"),
    ],
)
def test_a_name_that_is_no_system_s_is_refused(review_corpus: Corpus, system: str, cut_id: str, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        sound_path(review_corpus, system, cut_id)


def test_what_lies_behind_links_is_no_sound_of_ours(review_corpus: Corpus, cut: Cut) -> None:
    own = sound_path(review_corpus, "with-adapters", cut.cut_id)
    (sound,) = generated_sounds(review_corpus)[cut.cut_id]
    assert (sound.system, sound.path, sound.joins) == ("with-adapters", own, JOINS)
    (own.parent.parent / "linked").symlink_to(own.parent, target_is_directory=True)
    own.with_suffix(".json").write_text("[]")
    (sound,) = generated_sounds(review_corpus)[cut.cut_id]
    assert sound.joins is None

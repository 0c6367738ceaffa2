"""The player in a real browser: it plays, it seeks, it loops, and whatever a name holds is text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Route

from curation.media import write_media
from manifests.records import Recording, Source
from manifests.store import Corpus
from tests.support.browser import Page
from tests.support.inspect_page import Player, app_of, fresh, open_player
from tests.support.visit import with_key

MARKUP = '<img src=x onerror="window.hurt=1"> & **bold** $x$ :smile: [a](javascript:hurt=1).mp4'


@pytest.fixture(scope="module")
def opened(curated_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Corpus, str]]:
    """A corpus in which one recording has another title and file name, and another one no picture; and the app."""
    corpus = fresh(curated_once, tmp_path_factory.mktemp("played"))
    rows = {row.recording_id: row for row in corpus.rows(Recording)}
    sources = list(corpus.rows(Source))
    pond = next(row for row in rows.values() if "pond" in row.uri)
    short = next(row for row in rows.values() if "short" in row.uri)
    media = corpus.roots["media"]
    name = MARKUP.replace("/", "")
    (media / "pond-with-music.mp4").rename(media / name)
    rows[pond.recording_id] = replace(pond, uri=f"media:{name}")
    sound = iter([(0.1 * np.sin(np.arange(30 * 16_000) / 9)).astype(np.float32)[None]])
    write_media(media / "s.wav", frames=None, fps=None, audio=sound, sample_rate=16_000, audio_codec="pcm_s16le")
    rows[short.recording_id] = replace(
        short, uri="media:s.wav", bytes=(media / "s.wav").stat().st_size, container="wav", audio_codec="pcm_s16le",
        has_video=False, video_codec=None, channels=1, sample_rate=16_000,
    )  # fmt: skip
    corpus.replace("recordings", rows.values())
    other = Source(
        source_id="0" * 16,
        uri=f"media:{name}",
        recording_id=pond.recording_id,
        origin="youtube",
        title=MARKUP,
        channel=MARKUP,
        licence=MARKUP,
    )
    corpus.replace("sources", [*(row for row in sources if row.recording_id != pond.recording_id), other])
    with app_of(corpus.path) as address:
        yield corpus, address


def recording_id(corpus: Corpus, part: str) -> str:
    return str(next(row.recording_id for row in corpus.rows(Recording) if part in row.uri))


def yard(opened: tuple[Corpus, str], page: Page, at: float = 0.0) -> Player:
    corpus, address = opened
    return open_player(page, address, recording_id(corpus, "yard"), at)


def test_play_is_kept_until_there_is_something_to_play(opened: tuple[Corpus, str], page: Page) -> None:
    corpus, address = opened
    waiting: list[Route] = []
    held = [True]
    page._tab.route("**/lpse/ready/**", lambda route: waiting.append(route) if held[0] else route.continue_())
    page.visit(with_key(address, f"inspect?recording={recording_id(corpus, 'yard')}&t=0"))
    player = Player(page)
    player.wait('root.querySelector(".play")')
    player.click(".play")
    assert player.run('root.querySelector(".film").paused')
    page._tab.wait_for_timeout(300)
    held[0] = False
    while waiting:
        waiting.pop().continue_()
    player.wait('root.querySelector(".film").currentTime > 0.3')


def test_it_plays_jumps_and_loops(opened: tuple[Corpus, str], page: Page) -> None:
    player = yard(opened, page, 12.5)
    assert player.time == pytest.approx(12.5, abs=0.05)
    player.click(".play")
    player.wait('root.querySelector(".film").currentTime > 13.2')
    assert player.run('root.querySelector(".play").getAttribute("aria-label")') == "Pause"
    player.key(" ")
    player.wait('root.querySelector(".film").paused')
    held = player.time
    time.sleep(0.3)
    assert player.time == held
    assert player.run('root.querySelector(".time").textContent').startswith(f"0:{held:04.1f}"[:5])

    player.click(".moment", "1:09")
    assert player.time == pytest.approx(69.3, abs=0.3)
    assert player.run('root.querySelector("li.now").innerText').startswith("1:09")
    moments = player.run('[...root.querySelectorAll(".moment .at")].map((e) => e.textContent)')
    now = moments.index(player.run('root.querySelector("li.now .at").textContent'))
    player.key("n")
    assert player.run('root.querySelector("li.now .at").textContent') == moments[now + 1]
    player.key("p")
    player.key("p")
    assert player.run('root.querySelector("li.now .at").textContent') == moments[now - 1]

    left, top, width, height = player.box(".track")
    middle = top + height * 0.6
    player.drag((left + width * 0.50, middle), (left + width * 0.505, middle))  # 1 s of 200
    assert "Selected span 1:40.0 to 1:41.0" in player.text
    assert player.time == pytest.approx(100.0, abs=0.3)
    player.key("g")
    player.key(" ")
    seen = []
    for _ in range(30):
        seen.append(player.time)
        time.sleep(0.1)
    assert min(seen) > 99.5 and max(seen) < 101.6
    assert any(later < earlier - 0.3 for earlier, later in pairwise(seen)), seen
    player.key("Escape")
    assert "Selected span" not in player.text
    player.drag((left + width * 0.25, middle), (left + width * 0.25, middle))
    assert player.time == pytest.approx(50.0, abs=3.5)
    player.run('root.querySelector(".film").pause()')
    player.key("ArrowRight")
    player.key("j")
    player.key("l")
    player.key("ArrowLeft", shift=True)
    assert page.complaints == [] or all("404" in one for one in page.complaints)


def test_keys_are_text_in_a_field_and_zoom_shows_less(opened: tuple[Corpus, str], page: Page) -> None:
    player = yard(opened, page, 20.0)
    player.key("c")
    for letter in "npx ":
        player.key(letter)
    assert player.run('root.querySelector(".comment").value') == "npx "
    assert player.time == pytest.approx(20.0, abs=0.05)
    player.run("root.activeElement.blur()")
    before = player.run('[...root.querySelectorAll(".handle")].map((e) => e.hidden)')
    for _ in range(5):
        player.key("+")
    player.wait('[...root.querySelectorAll(".handle")].every((e) => e.hidden)')
    assert before == [False, False]
    player.key("0")
    player.wait('[...root.querySelectorAll(".handle")].every((e) => !e.hidden)')
    tracks = player.run('root.querySelectorAll(".name").length')
    player.key("d")
    player.wait('!root.querySelector(".name.detector")')
    assert player.run('root.querySelectorAll(".name").length') < tracks
    player.key("d")
    player.wait('root.querySelector(".name.detector")')
    player.key("?")
    assert "previous cut for review" in player.text
    player.key("Escape")
    assert "previous cut for review" not in player.text


def test_names_full_of_markup_do_no_harm(opened: tuple[Corpus, str], page: Page) -> None:
    corpus, address = opened
    player = open_player(page, address, recording_id(corpus, "bold"))
    assert player.run('root.querySelector(".title").textContent') == MARKUP
    assert player.text.count(MARKUP) >= 3
    shown = page.run('document.querySelector(".stApp").innerText')
    assert page.run("window.hurt") is None
    assert page.run('document.querySelectorAll("img[src=x]").length') == 0
    assert player.run('root.querySelectorAll("img, a, script").length') == 0
    assert "Uncaught" not in shown
    here = address.removeprefix("http://")
    assert [
        url for url in page.requested if not url.startswith(("data:", "blob:", f"http://{here}", f"ws://{here}"))
    ] == []


def test_sound_alone_plays_too(opened: tuple[Corpus, str], page: Page) -> None:
    corpus, address = opened
    player = open_player(page, address, recording_id(corpus, "s.wav"), 3.0, scored=False)
    assert "Audio only" in player.text
    player.key(" ")
    player.wait('root.querySelector("audio.film").currentTime > 3.5')
    player.key("k")
    assert "lasts 30.0 s, cuts need 60 s" in player.text
    assert player.run('[...root.querySelectorAll(".act")].every((e) => e.disabled)') is True


def test_an_address_that_names_nothing_says_so(opened: tuple[Corpus, str], page: Page) -> None:
    _, address = opened
    for query in ("recording=0000000000000000", "recording=%3Cimg%20src%3Dx%3E&t=nan", "recording=..%2F..&t=-5"):
        page.visit(with_key(address, f"inspect?{query}"))
        page.wait_for('document.body.innerText.includes("not in the corpus")')

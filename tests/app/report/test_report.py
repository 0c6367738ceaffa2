"""The report: everything in one file, nothing that a name says is obeyed, and it works in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.report import write_report
from curation.media import write_media
from curation.pipeline.curate import curate
from manifests.labels import load_labels
from manifests.recipe import load_recipe
from manifests.records import Cut, Recording
from manifests.schema import CorpusError
from manifests.store import Corpus

if TYPE_CHECKING:
    from tests.support.browser import Page

RATE = 16_000
ODD = "sea \"of\" 'quotes' & <img src=x onerror=alert(1)>\nof \u202elines.mp4"
SHOWN = "sea \"of\" 'quotes' & <img src=x onerror=alert(1)>\\nof \\u202elines.mp4"
PAUSE = (65.0, 70.0)  # digital silence in the midst of "halves.mp4"
LENGTH = 135.0


def surf(seconds: float, seed: int, pause: tuple[float, float] = (0.0, 0.0)) -> Iterator[NDArray[np.float32]]:
    """Noise that swells and ebbs, a second at a time; nothing at all in `pause`."""
    rng = np.random.default_rng(seed)
    for second in range(int(seconds)):
        t = second + np.arange(RATE) / RATE
        heard = ~((pause[0] <= t) & (t < pause[1]))
        swell = 0.05 + 0.04 * np.sin(2 * np.pi * t / 7)
        yield (heard * swell * rng.standard_normal(RATE)).astype(np.float32)[None]


def pictures(seconds: float) -> Iterator[NDArray[np.uint8]]:
    """A ramp that moves sideways, 8 pictures a second: neither still nor cut."""
    ramp = np.tile(np.abs(np.arange(64) - 32) * 7, (36, 1)).astype(np.uint8)
    return (np.repeat(np.roll(ramp, i, axis=1)[:, :, None], 3, axis=2) for i in range(8 * int(seconds)))


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `media` and the `corpus` made of it."""
    base = tmp_path_factory.mktemp("reported")
    media = base / "media"
    media.mkdir()
    write_media(media / "halves.mp4", frames=pictures(LENGTH), fps=8, audio=surf(LENGTH, 1, PAUSE), sample_rate=RATE)
    write_media(media / "odd.mp4", frames=pictures(62), fps=8, audio=surf(62, 2), sample_rate=RATE)
    (media / "odd.mp4").rename(media / ODD)
    write_media(media / "gone.wav", audio=surf(61, 3), sample_rate=RATE, audio_codec="pcm_s16le")
    write_media(media / "short.wav", audio=surf(5, 4), sample_rate=RATE, audio_codec="pcm_s16le")
    (media / "empty <b>.mp4").touch()
    curate(Corpus.create(base / "corpus"), [media], load_recipe("packaged"), workers=1)
    (media / "gone.wav").unlink()
    return base


@pytest.fixture(scope="session")
def written(curated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page about it, in a folder of its own."""
    return write_report(Corpus.open(curated / "corpus"), tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def corpus(curated: Path) -> Corpus:
    return Corpus.open(curated / "corpus")


class Parsed(HTMLParser):
    """Every tag with its attributes, and the text outside style and script, by the tag it is in."""

    def __init__(self, page: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open = ""
        self.feed(page.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open, data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag not in ("script", "style"))


def cuts_of(corpus: Corpus, name: str) -> list[Cut]:
    (wanted,) = (r.recording_id for r in corpus.rows(Recording) if r.uri.endswith(name))
    return sorted((c for c in corpus.rows(Cut) if c.recording_id == wanted), key=lambda c: c.start)


def data_of(page: Path) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return json.loads(text)


def test_the_corpus_is_what_these_tests_need(corpus: Corpus) -> None:
    first, second = cuts_of(corpus, "halves.mp4")
    assert (first.decision, second.decision) == ("accept", "accept")
    assert first.end == pytest.approx(PAUSE[0], abs=0.5)
    assert second.start == pytest.approx(PAUSE[1], abs=0.5)


def test_a_corpus_of_another_version_is_told_what_to_run(curated: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(curated / "corpus", tmp_path / "corpus")
    settings = folder / "corpus.toml"
    settings.write_text(settings.read_text().replace("[recipe]\n", "[recipe]\nolder = 1\n"))
    with pytest.raises(CorpusError, match=r"run lpse replay first \(its active recipe: o"):
        write_report(Corpus.open(folder), tmp_path / "report.html")


def test_nothing_lies_outside_the_file(written: Path) -> None:
    parsed = Parsed(written)
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "srcset", "poster", "data", "action", "background"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), (tag, attributes[name][:80])
    assert {"link", "iframe", "object", "embed", "base"}.isdisjoint(tag for tag, _ in parsed.tags)
    text = re.sub(r"data:[a-z]+/[a-z]+;base64,[A-Za-z0-9+/=]+", "", written.read_text())
    assert not re.search(r"https?:|url\(|@import|//[a-z]+\.", text)
    assert list(written.parent.iterdir()) == [written]


def test_only_the_pages_own_script_may_run(written: Path) -> None:
    (policy,) = (m["content"] for m in Parsed(written).all("meta") if m.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='$", policy)


def test_an_odd_name_is_shown_and_not_obeyed(written: Path) -> None:
    parsed = Parsed(written)
    assert ("bdi", SHOWN) in parsed.texts
    assert ("bdi", "empty <b>.mp4") in parsed.texts
    assert not any("onerror" in attributes for _, attributes in parsed.tags)
    assert "\u202e" not in written.read_text()
    assert not parsed.all("b") or all(attributes == {} for attributes in parsed.all("b"))


def test_the_figures_are_those_of_the_account(written: Path) -> None:
    text = Parsed(written).text()
    assert "0:04:23 in" in " ".join(text.split())  # 135 + 62 + 61 + 5
    for said in ("empty file", "too short", "silence", "lasts 5.0 s, cuts need 60 s"):
        assert said in text
    recipe = load_recipe("packaged")
    assert recipe.hash in text
    assert "silero" in text and "yamnet" in text


def test_media_that_is_gone_is_told(written: Path) -> None:
    text = Parsed(written).text()
    assert "No preview: the media file is missing." in text
    assert "1 recording without a preview: the media file is missing." in text


def test_with_no_media_left_the_page_is_still_written(curated: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(curated / "corpus", tmp_path / "corpus")
    settings = folder / "corpus.toml"
    settings.write_text(settings.read_text().replace(str(curated / "media"), str(tmp_path / "nowhere")))
    page = write_report(Corpus.open(folder), tmp_path / "page.html")
    assert "4 recordings without a preview: the media file is missing." in Parsed(page).text()
    assert Parsed(page).all("audio") == []
    assert len(data_of(page)["recordings"][0]["tracks"]) == 5


def test_scores_that_are_gone_are_told(curated: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(curated / "corpus", tmp_path / "corpus")
    shutil.rmtree(folder / "manifests" / "scores")
    page = write_report(Corpus.open(folder), tmp_path / "page.html", budget_bytes=0)
    assert "No timeline." in Parsed(page).text()
    assert {tuple(r["tracks"]) for r in data_of(page)["recordings"]} == {()}


def test_a_small_budget_is_kept_and_told(corpus: Corpus, tmp_path: Path) -> None:
    empty = write_report(corpus, tmp_path / "empty.html", budget_bytes=0)
    assert Parsed(empty).all("audio") == []
    assert "3 recordings without a preview: the page has no room for more previews." in Parsed(empty).text()

    budget = empty.stat().st_size + 400_000
    excerpts = write_report(corpus, tmp_path / "excerpts.html", budget_bytes=budget)
    assert excerpts.stat().st_size <= budget
    assert "around the riskiest moment of each cut" in Parsed(excerpts).text()
    heard = [float(a["data-end"]) - float(a["data-start"]) for a in Parsed(excerpts).all("audio")]
    assert len(heard) == 4  # two cuts, one cut, one recording too short for any
    assert max(heard) in (15.0, 30.0, 60.0)


def test_recordings_beyond_the_cap_are_told(corpus: Corpus, tmp_path: Path) -> None:
    page = write_report(corpus, tmp_path / "page.html", budget_bytes=0, max_recordings=2)
    assert "2 of 4 recordings are listed" in Parsed(page).text()
    assert len(Parsed(page).all("article")) == len(data_of(page)["recordings"]) == 2


def test_the_same_corpus_gives_the_same_page(corpus: Corpus, tmp_path: Path) -> None:
    once = write_report(corpus, tmp_path / "a" / "page.html", budget_bytes=1_000_000)
    again = write_report(corpus, tmp_path / "b" / "page.html", budget_bytes=1_000_000)
    assert once.read_bytes() == again.read_bytes()


def test_a_page_is_replaced_whole(corpus: Corpus, tmp_path: Path) -> None:
    page, kept = tmp_path / "page.html", tmp_path / "kept.html"
    page.write_text("the page of before")
    os.link(page, kept)
    write_report(corpus, page, budget_bytes=0)
    assert kept.read_text() == "the page of before"  # a new file took its name, nothing was written into the old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.html", "page.html"]


def test_a_report_that_is_killed_anywhere_leaves_the_old_page_and_the_next_one_is_whole(
    corpus: Corpus, tmp_path: Path
) -> None:
    """Nothing of it is left beside the page then, whether it was killed before or at the rename."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "import app.report.build as build\n"
        "from manifests.store import Corpus\n"
        "kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "exec(sys.argv[3])\n"
        "build.write_report(Corpus.open(sys.argv[1]), Path(sys.argv[2]), budget_bytes=0)\n"
    )
    page = tmp_path / "page.html"
    page.write_text("the page of before")
    for place in ("build.encode_previews = kill", "os.fsync = kill", "os.replace = kill"):
        ran = subprocess.run([sys.executable, "-c", program, corpus.path, page, place], capture_output=True)
        assert ran.returncode == -signal.SIGKILL, ran.stderr
        assert page.read_text() == "the page of before"
    assert len(list(tmp_path.iterdir())) == 2  # the third run has removed what the second left
    write_report(corpus, page, budget_bytes=0)
    write_report(corpus, tmp_path / "whole.html", budget_bytes=0)
    assert page.read_bytes() == (tmp_path / "whole.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "whole.html"]


def test_progress_goes_from_nothing_to_all(corpus: Corpus, tmp_path: Path) -> None:
    told: list[float] = []
    write_report(corpus, tmp_path / "page.html", budget_bytes=1_000_000, on_progress=told.append)
    assert told == sorted(told)
    assert 0 < told[0] < 1 and told[-1] == 1.0


def test_a_corpus_without_a_recipe_has_no_report(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    with pytest.raises(CorpusError, match="no decisions yet"):
        write_report(corpus, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_corpus_where_nothing_was_heard_has_one(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    (media / "empty.mp4").touch()
    corpus = Corpus.create(tmp_path / "corpus")
    curate(corpus, [media], load_recipe("packaged"), workers=1)
    assert "No recording has decisions." in Parsed(write_report(corpus, tmp_path / "page.html")).text()


# ---- in the browser ----

HALVES = "articles.find(article => titleOf(article) == 'halves.mp4')"
READY = f"{HALVES}?.querySelector('canvas[data-drawn]') != null"
PLAYING = f"{HALVES}.querySelector('audio')"


def colour_at(seconds: float, row: float) -> str:
    """JavaScript for the colour, as #RRGGBB, of the timeline of "halves.mp4" at a time, `row` pixels down."""
    return f"""(() => {{
      const canvas = {HALVES}.querySelector("canvas");
      const x = Math.floor({seconds} / {LENGTH} * canvas.width);
      const pixel = canvas.getContext("2d").getImageData(x, {row}, 1, 1).data;
      return "#" + [...pixel.slice(0, 3)].map(v => v.toString(16).padStart(2, "0")).join("").toUpperCase();
    }})()"""


def test_it_loads_without_a_complaint_and_asks_nobody(page: Page, written: Path) -> None:
    page.open(written)
    page.wait_for(READY)
    assert page.complaints == []
    outside = [url for url in page.requested if not url.startswith(("data:", "about:"))]
    assert outside == [written.as_uri()]


def test_the_tracks_are_drawn_where_they_belong(page: Page, written: Path) -> None:
    page.open(written)
    page.wait_for(READY)
    names = page.run(f"[...{HALVES}.querySelectorAll('.names span:not(.for-cuts)')].map(s => s.textContent)")
    assert names == ["speech", "singing", "music", "level"]
    top = page.run("ROW") * names.index("level")
    silent, heard = sum(PAUSE) / 2, 30.0
    strip, middle = top + page.run("ROW") - 4, top + 16
    assert page.run(colour_at(silent, strip)) == load_labels()["silence"].colour
    assert page.run(colour_at(heard, strip)) != load_labels()["silence"].colour
    # the level reaches the middle of its track where there is sound, and not where there is none
    assert page.run(colour_at(silent, middle)) != page.run(colour_at(heard, middle))
    places = page.run(f"[...{HALVES}.querySelectorAll('.cut')].map(c => [c.offsetLeft, c.offsetWidth])")
    width = page.run(f"{HALVES}.querySelector('.track').clientWidth")
    assert places[0][0] == 0 and places[1][0] == pytest.approx(70 / LENGTH * width, abs=4)


def test_each_track_is_drawn_in_the_row_of_its_name(page: Page, written: Path, tmp_path: Path) -> None:
    """With music in all of the recording and no speech, the colour of music stands in music's row alone."""
    data = data_of(written)
    (number,) = (n for n, r in enumerate(data["recordings"]) if r["duration"] > 130)
    changed = tmp_path / "page.html"
    changed.write_text(written.read_text())
    page.open(changed)
    page.wait_for(READY)
    page.run(f"""(() => {{
      const timeline = timelines.get({HALVES});
      for (const name of contaminants) timeline.tracks[name].fill(name == "music" ? 255 : 1);
      timeline.draw();
    }})()""")
    assert number >= 0
    for row, name in enumerate(["speech", "singing", "music"]):
        drawn = page.run(colour_at(30.0, page.run("ROW") * row + 20))
        assert (drawn == load_labels()["music"].colour) is (name == "music")


def test_a_short_peak_survives_a_narrow_picture(page: Page, written: Path) -> None:
    page.open(written)
    found = page.run("""[7, 100, 333, 2048, 5000].map(width => {
      const track = new Uint8Array(2048).fill(1);
      track[1500] = 200;
      const out = pooled(track, 2048, width, higher);
      return [Math.max(...out), out.indexOf(200) / width];
    })""")
    for highest, place in found:
        assert highest == 200
        assert place == pytest.approx(1500 / 2048, abs=1 / 7)


def test_a_preview_plays_from_the_cut_that_is_clicked(page: Page, written: Path, corpus: Corpus) -> None:
    second = cuts_of(corpus, "halves.mp4")[1]
    page.open(written)
    page.wait_for(READY)
    length = page.run(
        f"new Promise(done => {{ const a = {PLAYING}; a.onloadedmetadata = () => done(a.duration); a.load();"
        " a.preload = 'auto'; })"
    )
    assert length == pytest.approx(LENGTH, abs=0.1)
    page.run(f"{HALVES}.querySelectorAll('.cut')[1].click()")
    page.wait_for(f"!{PLAYING}.paused && {PLAYING}.currentTime > {second.start}")
    assert page.run(f"{PLAYING}.currentTime") < second.start + 30
    head = page.run(f"parseFloat({HALVES}.querySelector('.head').style.left)")
    assert head == pytest.approx(100 * second.start / LENGTH, abs=25)
    assert page.run(f"{HALVES}.querySelector('.play').getAttribute('aria-label')") == "Pause"
    page.run(f"{HALVES}.querySelector('.play').click()")
    page.wait_for(f"{PLAYING}.paused")
    slider = f"{HALVES}.querySelector('.scrub')"
    page.wait_for(f"{slider}.getAttribute('aria-valuenow') == Math.round({PLAYING}.currentTime)")
    before = page.run(f"{PLAYING}.currentTime")
    page.run(f"{slider}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowLeft'}}))")
    page.wait_for(f"{PLAYING}.currentTime < {before} - 3")
    assert page.complaints == []


def test_only_one_recording_plays_at_a_time(page: Page, written: Path) -> None:
    page.open(written)
    page.wait_for(READY)
    buttons = "[...document.querySelectorAll('.play:enabled')]"
    assert page.run(f"{buttons}.length") == 3
    page.run(f"{buttons}[0].click()")
    page.wait_for("players.filter(p => p.playing).length == 1")
    page.run(f"{buttons}[1].click()")
    page.wait_for(f"{buttons}[1].classList.contains('on') && !{buttons}[0].classList.contains('on')")
    assert page.run("players.filter(p => p.playing).length") == 1


def test_hovering_says_what_is_there(page: Page, written: Path) -> None:
    page.open(written)
    page.wait_for(READY)
    # what lies above takes its true height only when it comes near the window: one frame later
    at = page.run(f"""(async () => {{
      const frame = () => new Promise(requestAnimationFrame);
      for (let n = 0; n < 5; n++) {HALVES}.scrollIntoView({{block: "center"}}), await frame();
      const box = {HALVES}.querySelector("canvas").getBoundingClientRect();
      return [box.left + box.width * {sum(PAUSE) / 2} / {LENGTH}, box.top + 40];
    }})()""")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=at[0], y=at[1])
    page.wait_for("!document.getElementById('tip').hidden")
    said = page.run("document.getElementById('tip').innerText")
    assert "1:07." in said and "silence event" in said and "level −100 dBFS" in said


def test_sorting_and_filtering(page: Page, written: Path) -> None:
    page.open(written)
    page.wait_for(READY)
    titles = "[...document.querySelectorAll('.recording:not([hidden]) h3')].map(h => h.textContent)"
    assert len(page.run(titles)) == 4

    def choose(control: str, value: str) -> list[str]:
        page.run(f"tools.elements.namedItem('{control}').value = '{value}'")
        page.run("tools.dispatchEvent(new Event('input'))")
        found: list[str] = page.run(titles)
        return found

    assert choose("order", "title") == ["gone.wav", "halves.mp4", SHOWN, "short.wav"]
    assert choose("order", "duration") == ["halves.mp4", SHOWN, "gone.wav", "short.wav"]
    assert choose("order", "-yield")[0] == "short.wav"
    assert choose("decision", "nothing") == ["short.wav"]
    assert choose("decision", "accept") == choose("decision", "accept") and "short.wav" not in page.run(titles)
    assert choose("find", "HALV") == ["halves.mp4"]
    assert page.run("document.querySelector('.tools output').textContent") == "1 of 4 recordings"
    page.wait_for(f"{HALVES}.querySelector('canvas').dataset.drawn > 0")


@pytest.mark.parametrize("width", [360, 768, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_any_window_and_both_schemes(page: Page, written: Path, width: int, scheme: str) -> None:
    page.open(written, width=width, scheme=scheme)
    page.run("document.getElementById('list').scrollIntoView()")
    page.wait_for(READY)
    assert page.run("document.documentElement.scrollWidth") <= width
    edges = page.run("[...document.querySelectorAll('.track')].map(t => t.getBoundingClientRect().right)")
    assert max(edges) <= width  # what a card hides beyond its edge does not scroll, but is lost
    paper, ink = page.run(
        "['backgroundColor', 'color'].map(p => getComputedStyle(document.body)[p].match(/\\d+/g).map(Number))"
    )
    assert (sum(paper) > sum(ink)) is (scheme == "light")


def test_the_keyboard_reaches_every_control(page: Page, written: Path) -> None:
    page.open(written)
    page.wait_for(READY)
    unfit = page.run("""(() => {
      const kinds = ".cut, .play:enabled, .scrub[role], summary, select, input";
      const controls = [...document.querySelectorAll(kinds)];
      const named = (e) => e.getAttribute("aria-label") || e.textContent.trim() || e.closest("label");
      return controls.filter((e) => e.tabIndex < 0 || !named(e)).map((e) => e.outerHTML);
    })()""")
    assert unfit == []
    assert page.run("document.querySelectorAll('.scrub[role=slider]').length") == 3

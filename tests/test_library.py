"""The library: each package exports its few public names, and importing it loads nothing heavy."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from types import ModuleType

import pytest

from manifests import Cut, LpseError
from manifests.records import RECORDS
from manifests.store import Corpus
from tests.support import ROOT

PACKAGES = ("manifests", "curation", "annotation", "features", "model")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_there_and_has_a_docstring(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__all__ and set(package.__all__) <= set(dir(package))
    for public in package.__all__:
        value = getattr(package, public)
        assert not isinstance(value, ModuleType), f"{name}.{public} is a module of that name"
        assert inspect.getdoc(value), f"{name}.{public}"
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize("name", PACKAGES)
def test_a_public_name_is_no_submodule(name: str) -> None:
    """Importing a submodule would put it in the place of the public name."""
    modules = {path.stem if path.is_file() else path.name for path in (ROOT / name).iterdir()}
    assert not set(importlib.import_module(name).__all__) & modules


def test_importing_the_packages_loads_nothing_heavy() -> None:
    heavy = "('numpy', 'pyarrow', 'torch', 'av')"
    code = f"import sys, {', '.join(PACKAGES)}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_rows_are_those_of_the_record(tmp_path: object) -> None:
    corpus = Corpus.create(str(tmp_path) + "/corpus")
    assert [list(corpus.rows(record)) for record in RECORDS.values()] == [[]] * len(RECORDS)
    with pytest.raises(KeyError, match="no table holds str rows"):
        corpus.rows(str)
    cut = Cut(
        cut_id="c", recording_id="r", start=0.0, end=60.0, decision="accept", reasons=(), risk=0.5, recipe_hash="h"
    )
    corpus.replace("cuts", [cut])
    assert list(corpus.rows(Cut)) == [cut]


def errors(package: str) -> list[type[BaseException]]:
    """Every exception class that the modules of a package define."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if "inside" in module or "script" in module:  # run by other programs
            continue
        for value in vars(importlib.import_module(module)).values():
            if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == module:
                found.append(value)
    return found


INTERNAL = {
    "NotDirect": "features.cache: caught where it is raised, the slow way follows",
    "BadRequest": "app.review: an answer 400 over HTTP",
    "NotHere": "app.review: an answer 404 over HTTP",
}


@pytest.mark.parametrize("package", [*PACKAGES, "app"])
def test_every_error_that_a_caller_meets_is_an_lpse_error(package: str) -> None:
    astray = [error.__name__ for error in errors(package) if not issubclass(error, LpseError)]
    assert [name for name in astray if name not in INTERNAL and not name.startswith("_")] == []

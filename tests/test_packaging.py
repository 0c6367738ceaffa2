"""What is declared in pyproject.toml is what is there, and nothing else installed claims our names."""

from __future__ import annotations

import importlib.metadata
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PYPROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
PACKAGES: list[str] = PYPROJECT["tool"]["setuptools"]["packages"]
TOP_LEVEL = {package.split(".")[0] for package in PACKAGES}


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for lines in [PROJECT["dependencies"], *extras] for line in lines]


def test_the_package_list_is_what_lies_on_disk() -> None:
    files = [path for top in TOP_LEVEL for path in (ROOT / top).rglob("*.py")]
    on_disk = {".".join(path.parent.relative_to(ROOT).parts) for path in files}
    assert set(PACKAGES) == on_disk


def test_every_package_has_its_docstring() -> None:
    for package in PACKAGES:
        text = ROOT.joinpath(*package.split("."), "__init__.py").read_text()
        assert text.startswith('"""'), package


def test_package_data_is_found() -> None:
    for package, patterns in PYPROJECT["tool"]["setuptools"]["package-data"].items():
        for pattern in patterns:
            assert list(ROOT.joinpath(*package.split(".")).glob(pattern)), f"{package}: nothing matches {pattern}"


def test_every_bound_parses_and_no_dependency_is_open() -> None:
    for requirement in declared():
        assert requirement.specifier, f"{requirement.name} has no bound"
        assert requirement.marker is None and requirement.url is None


def test_the_environment_meets_the_core_bounds() -> None:
    for line in PROJECT["dependencies"]:
        requirement = Requirement(line)
        version = importlib.metadata.version(requirement.name)
        assert requirement.specifier.contains(version), f"{line}, installed is {version}"


def test_the_makefile_installs_the_torch_we_declare() -> None:
    (torch,) = (line for line in PROJECT["dependencies"] if Requirement(line).name == "torch")
    assert f'"{torch}"' in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize(("version", "fits"), [("3.10", False), ("3.11", True), ("3.13", True), ("3.14", False)])
def test_the_makefile_takes_the_pythons_we_declare(version: str, fits: bool) -> None:
    assert SpecifierSet(PROJECT["requires-python"]).contains(version) is fits
    low, high = re.findall(r"\((\d+, \d+)\)", (ROOT / "Makefile").read_text())
    bounds = [tuple(map(int, bound.split(", "))) for bound in (low, high)]
    major, minor = map(int, version.split("."))
    assert (bounds[0] <= (major, minor) < bounds[1]) is fits


def claims(distribution: importlib.metadata.Distribution) -> set[str]:
    """The top-level names that a distribution puts into site-packages."""
    named = distribution.read_text("top_level.txt")
    names = set(named.split()) if named else set()
    for file in distribution.files or ():
        top = file.parts[0]
        if len(file.parts) > 1 and top != ".." and not top.endswith((".dist-info", ".egg-info", ".data")):
            names.add(top)
        elif len(file.parts) == 1 and top.endswith(".py"):
            names.add(top.removesuffix(".py"))
    return names


def test_no_other_distribution_claims_our_names() -> None:
    # `tests` is no package of ours, but one installed there would be imported in place of the folder.
    ours = TOP_LEVEL | {"tests"}
    rivals = {
        distribution.metadata["Name"]: sorted(claims(distribution) & ours)
        for distribution in importlib.metadata.distributions()
        if distribution.metadata["Name"] != PROJECT["name"] and claims(distribution) & ours
    }
    assert rivals == {}


def test_a_rival_would_be_seen(tmp_path: Path) -> None:
    info = tmp_path / "rival-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    record = [
        "rival/__init__.py",
        "tests/test_x.py",
        "model.py",
        "rival-1.0.dist-info/RECORD",
        "../../bin/app",
    ]
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in record))
    (found,) = importlib.metadata.distributions(path=[str(tmp_path)])
    assert claims(found) == {"rival", "tests", "model"}


def test_the_ci_script_runs_the_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec make test"

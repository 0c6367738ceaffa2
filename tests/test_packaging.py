"""What is declared in pyproject.toml is what is there, and nothing else installed claims our names."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

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


EXTRAS = {
    "annotation": "labelstudio",
    "app.review": "app",
    "app.terminal.agreement": "labelstudio",
    "curation.catalog": "app",
    "curation.detectors.panns": "panns",
    "curation.detectors.pyannote": "pyannote",
    "curation.backends.torchaudio_stub": "pyannote",
    "model.training": "train",
    "curation.purity.evaluation": "train",
}
"""The extra that a room may import from, beside the core."""
NOT_IMPORTED = {
    "torchcodec": "pyannote.audio imports it; the bound picks a build that fits its torch",
    "tensorboard": "accelerate writes its files",
}
ELSEWHERE = {"django", "label_studio"}  # run in the labelling server's own environment
UNLISTED = {"aisfx", "bigvgan"}  # installed without what they ask for, by the Makefile or by hand


def imports(path: Path) -> set[str]:
    """The top-level names that a file imports, at its top or inside functions, and those it names in strings."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            found |= {
                str(one.value).split(".")[0] for one in node.args[:1] if isinstance(one, ast.Constant) and one.value
            }
    return found - {"", *sys.stdlib_module_names, *TOP_LEVEL, "tests"}


def distributions(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_what_is_imported_is_declared_in_the_core_or_in_the_extra_of_its_room() -> None:
    owners = importlib.metadata.packages_distributions()
    core = distributions(PROJECT["dependencies"])
    extras = {name: distributions(lines) for name, lines in PROJECT["optional-dependencies"].items()}
    astray = []
    for top in TOP_LEVEL:
        for path in sorted((ROOT / top).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            rooms = [extra for room, extra in EXTRAS.items() if f"{module}.".startswith(f"{room}.")]
            allowed = core.union(*(extras[extra] for extra in rooms))
            for name in sorted(imports(path) - ELSEWHERE - UNLISTED):
                own = {canonicalize_name(owner) for owner in owners.get(name, [])}
                if not own & allowed:
                    astray.append(f"{module} imports {name}, of {', '.join(sorted(own)) or 'no distribution'}")
    assert astray == []


def test_what_the_core_and_the_extras_declare_is_imported() -> None:
    owners = importlib.metadata.packages_distributions()
    names: dict[str, set[str]] = {}
    for name, own in owners.items():
        for owner in own:
            names.setdefault(canonicalize_name(owner), set()).add(name)
    texts = [path.read_text(encoding="utf-8") for top in TOP_LEVEL for path in (ROOT / top).rglob("*.py")]
    used = set().union(*(imports(path) for top in TOP_LEVEL for path in (ROOT / top).rglob("*.py")))
    extras = [line for name, lines in PROJECT["optional-dependencies"].items() if name != "dev" for line in lines]
    idle = []
    for distribution in sorted(distributions([*PROJECT["dependencies"], *extras]) - set(NOT_IMPORTED)):
        modules = names.get(distribution, set())
        # packages that only carry weights are named where these are found
        if not modules & used and not any(f'"{name}"' in text for name in modules for text in texts):
            idle.append(distribution)
    assert idle == []

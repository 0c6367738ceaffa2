"""PANNs against the library they come from, on random weights in the real format.

Nothing runs wget, nothing is written outside the corpus, and a checkpoint is never touched.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tests.support.panns_files as files
from curation.detectors import Blocker, ModelSetup, ModelUnavailable, audioset
from curation.detectors.panns import clip, frame, frontend, library, runtime
from manifests.scores import FrameScores, concatenate
from tests.support import ROOT

pytest.importorskip("torchlibrosa", reason="the extra `panns` is not installed")

RATE = 32_000
MODULES: dict[str, Any] = {"panns_clip": clip, "panns_frame": frame}
Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> ModelSetup:
    """One checkpoint for both, whose weights have the same names and shapes, and a folder of fits with both exports."""
    folder = tmp_path_factory.mktemp("panns")
    path = files.save(files.lively(runtime.CLIP, files.windows(files.scene(16))), folder / "random.pth")
    made = ModelSetup(weights=tuple((name, str(path)) for name in MODULES), fits=folder / "fits")
    for module in MODULES.values():
        module.prepare(made)
    return made


@pytest.fixture(scope="module")
def libraries(setup: ModelSetup) -> dict[str, Any]:
    """The library's own networks with those weights."""
    return {
        name: library.load(network.name, Path(setup.named(name) or "")) for name, network in runtime.NETWORKS.items()
    }


@pytest.fixture(scope="module")
def opened(setup: ModelSetup) -> dict[str, Any]:
    return {"panns_clip": clip.PannsClip(setup), "panns_frame": frame.PannsFrame(setup)}


def answers(network: Any, samples: Array, output: str) -> Array:
    import torch

    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(np.ascontiguousarray(samples)))[output].numpy())


def run(detector: Any, samples: Array, chunk: int = 160_000) -> FrameScores:
    blocker = Blocker(detector.spec.plan, RATE)
    parts = []
    for begin in range(0, len(samples), chunk):
        parts += [detector.scores(block) for block in blocker.push(samples[begin : begin + chunk])]
    return concatenate(parts + [detector.scores(block) for block in blocker.finish()])


# front end


def test_the_front_end_equals_torchlibrosa(libraries: dict[str, Any]) -> None:
    import torch

    samples = files.scene(7.3)
    network = libraries["panns_clip"]
    with torch.inference_mode():
        power = network.spectrogram_extractor(torch.from_numpy(samples)[None])
        expected = network.logmel_extractor(power)[0, 0].numpy()
    ours = frontend.log_mel(samples)
    assert ours.shape == expected.shape == (len(samples) // 320 + 1, 64) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=2e-3)
    assert expected.max() - expected.min() > 40


def test_the_mel_filters_equal_librosas() -> None:
    import librosa

    expected = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=64, fmin=50, fmax=14_000).T
    np.testing.assert_allclose(frontend.mel_matrix(), expected, atol=1e-7)


def test_digital_silence_is_the_floor() -> None:
    np.testing.assert_allclose(frontend.log_mel(np.zeros(RATE, np.float32)), np.full((101, 64), -100), atol=1e-4)


# scores


def test_clip_equals_the_library_window_by_window(libraries: dict[str, Any], opened: dict[str, Any]) -> None:
    samples = files.scene(5.5, seed=2)
    padded = np.pad(samples, (0, RATE))
    expected = np.concatenate(
        [
            answers(libraries["panns_clip"], padded[None, i : i + 2 * RATE], "clipwise_output")
            for i in range(0, 5 * RATE, RATE)
        ]
    )
    ours = opened["panns_clip"].probabilities(clip.windows(samples))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert expected.min() < 0.1 and expected.max() > 0.9 and expected.std(axis=0).max() > 0.05
    scores = run(opened["panns_clip"], samples)
    assert (scores.hop, scores.window, len(scores)) == (1.0, 2.0, 5)
    for label in ("speech", "music", "silence"):
        classes = [i for first, last in audioset.GROUPS[label] for i in range(first, last + 1)]
        np.testing.assert_allclose(scores.track(label), expected[:, classes].max(axis=1), atol=6e-4)  # float16 storage
    assert scores.tags is not None
    np.testing.assert_array_equal(scores.tags.ids[:, 0], expected.argmax(axis=1))
    np.testing.assert_allclose(scores.tags.scores[:, 4].astype(np.float32), np.sort(expected)[:, -5], atol=6e-4)


@pytest.mark.parametrize("seconds", [61.44 + 0.7, 34.01])
def test_frame_blocks_equal_the_library_over_the_whole_file(
    libraries: dict[str, Any], opened: dict[str, Any], seconds: float
) -> None:
    samples = files.scene(seconds, seed=3)
    expected = answers(libraries["panns_frame"], samples[None], "framewise_output")[0]
    blocker = Blocker(opened["panns_frame"].spec.plan, RATE)
    blocks = [*blocker.push(samples), *blocker.finish()]
    assert len(blocks) == int(seconds // 30.72) + 1
    for block in blocks[::-1]:  # any subset, in any order, gives the same
        begin, count = block.start // 320, -(-block.core // 320)
        ours = opened["panns_frame"].probabilities(block.samples[None])[0, block.left // 320 :][:count]
        np.testing.assert_allclose(ours, expected[begin : begin + count], atol=1e-4)
    scores = run(opened["panns_frame"], samples)
    assert scores.tags is None and scores.hop == 0.01 and len(scores) == -(-len(samples) // 320)
    lanes = audioset.group_maxima(expected[: len(scores)]).astype(np.float32)
    np.testing.assert_allclose(scores.values.astype(np.float32), lanes, atol=1e-3)
    assert lanes.std(axis=0).max() > 0.02


def test_the_librarys_own_forward_is_a_runtime(setup: ModelSetup, libraries: dict[str, Any]) -> None:
    samples = files.scene(3, seed=4)
    for name, pieces in (("panns_clip", clip.windows(samples)), ("panns_frame", samples[None])):
        network = runtime.NETWORKS[name]
        own = runtime.Runtime(network, replace(setup, runtimes=((name, "torch"),)))
        np.testing.assert_array_equal(own.open()(pieces), answers(libraries[name], pieces, network.output))


@pytest.mark.parametrize("name", ["panns_clip", "panns_frame"])
@pytest.mark.parametrize("seconds", [0.01, 0.3, 2.0, 17.2])
def test_scores_do_not_depend_on_how_the_sound_arrives(opened: dict[str, Any], name: str, seconds: float) -> None:
    samples = files.scene(seconds)
    whole, bits = run(opened[name], samples, len(samples)), run(opened[name], samples, 12_345)
    np.testing.assert_array_equal(whole.values, bits.values)
    covered = (len(whole) - 1) * whole.hop + whole.window
    assert covered >= seconds - 1e-6
    assert not np.isnan(whole.values).any()


def test_cores_hold_whole_stored_frames(opened: dict[str, Any]) -> None:
    for detector in opened.values():
        hop = detector.spec.hop * max(1, np.ceil(0.04 / detector.spec.hop))
        assert (detector.spec.plan.core / RATE / hop) % 1 == pytest.approx(0, abs=1e-9)


# identity, export


def test_the_version_holds_weights_runtime_and_fit(setup: ModelSetup, tmp_path: Path) -> None:
    for name, module in MODULES.items():
        one = module.spec(setup)
        assert one.name == name and one.labels == tuple(audioset.GROUPS)
        _, weights, kind = one.version.split("-")
        assert len(weights) == 12 and kind == "onnx"
        assert module.spec(replace(setup, runtimes=((name, "torch"),))).version == f"1-{weights}-torch"
        place = tmp_path / f"{name}-int8-0123456789abcdef"
        place.mkdir()
        (place / "model.onnx").write_bytes(b"")
        eight = replace(
            setup, fits=tmp_path, runtimes=((name, "int8"),), active=((f"{name}-int8", "0123456789abcdef"),)
        )
        assert module.spec(eight).version == f"1-{weights}-int8-0123456789abcdef"
    assert clip.spec(setup).key("a" * 16) != frame.spec(setup).key("a" * 16)


def test_a_runtime_that_is_not_there_says_which_are(setup: ModelSetup) -> None:
    with pytest.raises(ModelUnavailable, match=r"^panns_clip: unknown runtime 'tpu'; available: torch, onnx, int8$"):
        clip.spec(replace(setup, runtimes=(("panns_clip", "tpu"),)))


@pytest.mark.parametrize("active", [(), (("panns_frame-int8", "feed"),)])
def test_int8_that_was_not_calibrated_says_how(setup: ModelSetup, active: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ModelUnavailable, match=r"run lpse refit panns_frame-int8 --corpus DIR$"):
        frame.spec(replace(setup, runtimes=(("panns_frame", "int8"),), active=active))


def test_the_export_is_made_once_and_needs_neither_torch_nor_the_library(setup: ModelSetup, tmp_path: Path) -> None:
    assert setup.fits is not None
    weights = clip.spec(setup).version.split("-")[1]
    export = setup.fits / f"panns_clip-onnx-{weights}-{runtime.VERSION}" / "model.onnx"
    before = export.stat()
    clip.prepare(setup)
    assert export.stat() == before and os.listdir(export.parent) == ["model.onnx"]
    np.save(tmp_path / "sound.npy", files.scene(2))
    program = f"""
import sys, numpy as np
from pathlib import Path
from curation.detectors import ModelSetup
from curation.detectors.panns import clip
setup = ModelSetup(weights={setup.weights!r}, fits=Path({str(setup.fits)!r}))
clip.spec(setup)
assert "onnxruntime" not in sys.modules
found = clip.PannsClip(setup).probabilities(clip.windows(np.load({str(tmp_path / "sound.npy")!r})))
assert found.shape == (1, 527)
assert not {{"torch", "onnx", "panns_inference", "librosa"}} & set(sys.modules), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_damaged_export_is_made_again_when_it_is_opened(
    setup: ModelSetup, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = replace(setup, fits=tmp_path / "fits")
    clip.prepare(mine)
    (export,) = (tmp_path / "fits").glob("panns_clip-onnx-*/model.onnx")
    whole = export.read_bytes()
    for damaged in (whole[: len(whole) // 2], b""):
        export.write_bytes(damaged)
        caplog.clear()
        assert clip.PannsClip(mine).probabilities(clip.windows(files.scene(2))).shape == (1, 527)
        assert export.read_bytes() == whole
        assert "made again from the weights" in caplog.text


def test_without_a_corpus_the_export_stays_in_memory(setup: ModelSetup, opened: dict[str, Any]) -> None:
    pieces = clip.windows(files.scene(2))
    alone = clip.PannsClip(replace(setup, fits=None)).probabilities(pieces)
    np.testing.assert_array_equal(alone, opened["panns_clip"].probabilities(pieces))


# what is wrong is said in one line, and the file stays as it is


class _Touch:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "run")


def _broken(kind: str, good: Path, folder: Path) -> Path:
    import torch

    path = folder / f"{kind}.pth"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>Not found</html>\n")
    elif kind == "truncated":
        path.write_bytes(good.read_bytes()[:-1_000_000])
    elif kind == "half":
        path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    elif kind == "code":
        with path.open("wb") as file:
            pickle.dump({"model": _Touch(folder / "ran")}, file)
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "unnamed":
        torch.save({"state_dict": {"fc1.weight": torch.zeros(2, 2)}}, path)
    elif kind == "other":
        torch.save({"model": {"conv1.weight": torch.zeros(64, 1, 3, 3)}}, path)
    else:
        state = torch.load(good, weights_only=True)["model"]
        if kind == "classes":
            state["fc_audioset.weight"], state["fc_audioset.bias"] = torch.zeros(10, 2048), torch.zeros(10)
        elif kind == "infinite":
            state["conv_block3.conv1.weight"][0, 0, 0, 0] = torch.inf
        elif kind == "bands":
            state["logmel_extractor.melW"] *= 0.5
        torch.save({"model": state}, path)
    return path


FAULTS = {
    "empty": "not a complete PyTorch checkpoint of plain weights",
    "text": "not a complete PyTorch checkpoint of plain weights",
    "truncated": "not a complete PyTorch checkpoint of plain weights",
    "half": "not a complete PyTorch checkpoint of plain weights",
    "code": "not a complete PyTorch checkpoint of plain weights",
    "list": '"model" is missing or is not a dictionary of weights',
    "unnamed": '"model" is missing or is not a dictionary of weights',
    "other": "weights are not for Cnn14 .*Missing key",
    "classes": "weights are not for Cnn14 .*size mismatch for fc_audioset",
    "infinite": "conv_block3.conv1.weight contains values that are not finite",
    "bands": "logmel_extractor.melW differs by .* from the released front end's",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_wrong_file_gives_one_line_and_stays_untouched(kind: str, setup: ModelSetup, tmp_path: Path) -> None:
    path = _broken(kind, Path(setup.named("panns_clip") or ""), tmp_path)
    before, content = path.stat(), path.read_bytes()
    wrong = ModelSetup(weights=(("panns_clip", str(path)),), fits=tmp_path / "fits")
    for chosen in ("onnx", "torch"):
        with pytest.raises(ModelUnavailable) as raised:
            clip.prepare(replace(wrong, runtimes=(("panns_clip", chosen),)))
        assert raised.match(FAULTS[kind]) and raised.match(str(path)) and raised.match("zenodo.org/records/3987831$")
        assert "\n" not in str(raised.value) and len(str(raised.value)) < 500
        if chosen == "onnx" and path.stat().st_size > 1_000_000:
            break  # both read it alike, and these take long to read
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)
    assert path.read_bytes() == content
    assert not (tmp_path / "ran").exists() and not list(tmp_path.rglob("*.onnx"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "locked.pth"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(ModelUnavailable, match=f"^{path}: cannot be read"):
        clip.spec(ModelSetup(weights=(("panns_clip", str(path)),)))


def test_a_missing_package_says_what_to_install(setup: ModelSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "find_spec", lambda name: None)
    for module in MODULES.values():
        with pytest.raises(ModelUnavailable, match=r"^panns-inference is not installed: pip install 'lpse\[panns\]'$"):
            module.spec(setup)


# the library's side effects

GUARD = """
import os, sys
def refuse(event, arguments):
    if event in ("os.system", "os.posix_spawn", "os.exec", "socket.connect", "socket.getaddrinfo"):
        raise PermissionError(f"{event} {arguments}")
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if os.path.abspath(arguments[0]).startswith(os.environ["HOME"]):
            raise PermissionError(f"{event} {arguments}")
"""


def _alone(program: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], Path, Path]:
    """Run a program with an empty home folder and a `wget` that notes its call."""
    home, tools, called = folder / "home", folder / "tools", folder / "called"
    home.mkdir()
    tools.mkdir()
    (tools / "wget").write_text(f'#!/bin/sh\necho "$@" >> {called}\n')
    (tools / "wget").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL", "NUMBA_"))}
    environment = kept | {"HOME": str(home), "PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done, home, called


def test_nothing_is_run_fetched_or_written(setup: ModelSetup, tmp_path: Path) -> None:
    for _, path in setup.weights:
        assert os.path.getsize(path) < 3e8  # the library would fetch another in its place
    before = {path: (os.stat(path), Path(path).read_bytes()) for _, path in setup.weights}
    program = f"""{GUARD}
sys.addaudithook(refuse)
import numpy as np
from types import ModuleType
from pathlib import Path
from curation.detectors import ModelSetup
from curation.detectors.panns import clip, frame
setup = ModelSetup(weights={setup.weights!r}, runtimes=(("panns_clip", "torch"), ("panns_frame", "torch")))
before = sys.modules["matplotlib"] = ModuleType("matplotlib")
clip.prepare(setup)
for detector in (clip.PannsClip(setup), frame.PannsFrame(setup)):
    assert detector.probabilities(np.zeros((1, 64000), np.float32)).shape[-1] == 527
assert sys.modules["matplotlib"] is before
assert not [name for name in sys.modules if name.startswith("panns_inference")]
"""
    done, home, called = _alone(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and not called.exists() and list(home.rglob("*")) == []
    for path, (status, content) in before.items():
        assert os.stat(path).st_mtime_ns == status.st_mtime_ns and Path(path).read_bytes() == content


def test_the_library_itself_would_run_wget(tmp_path: Path) -> None:
    """What the test above guards against does happen; else it would prove nothing."""
    done, home, called = _alone("import panns_inference", tmp_path)
    assert "class_labels_indices.csv" in called.read_text() and list(home.rglob("panns_data"))
    assert done.returncode != 0 or done.stdout == ""

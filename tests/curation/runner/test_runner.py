"""The local runner on real processes: they crash, hang, are killed from outside, and lose their parent."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from curation.runner import CannotStart, Item, ItemResult, Progress, run_local
from tests.support import ROOT
from tests.support import runner_stages as stages


def run(*payloads: Any, stage: Any = None, workers: int = 2, **options: Any) -> list[ItemResult[Any, Any]]:
    """Outcomes in the order of the payloads; every item has exactly one."""
    items = [Item(str(n), str(n), payload) for n, payload in enumerate(payloads)]
    outcomes = list(run_local(stages.Act() if stage is None else stage, items, workers=workers, **options))
    assert Counter(o.item.key for o in outcomes) == Counter(i.key for i in items)
    return sorted(outcomes, key=lambda outcome: int(outcome.item.key))


_STRANGERS: set[int] = set()  # children that other tests' fixtures keep, such as a browser


def children() -> set[int]:
    """The living and dead children of this process that nobody has waited for, begun in this test."""
    listings = Path("/proc/self/task").glob("*/children")
    return {int(pid) for listing in listings for pid in listing.read_text().split()} - _STRANGERS


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    _STRANGERS.clear()
    _STRANGERS.update(children())
    files = len(os.listdir("/proc/self/fd"))
    yield
    assert children() == set()
    assert len(os.listdir("/proc/self/fd")) == files


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_has_its_result(workers: int) -> None:
    before = datetime.now(UTC)
    outcomes = run(*(("double", n) for n in range(40)), workers=workers)
    assert [o.value for o in outcomes] == [2 * n for n in range(40)]
    assert {(o.status, o.error, o.attempt) for o in outcomes} == {("done", None, 1)}
    assert 1 <= len({o.worker for o in outcomes}) <= workers
    assert all(before <= o.started_at <= datetime.now(UTC) for o in outcomes)
    assert all(o.started_at.utcoffset() == timedelta(0) for o in outcomes)


def test_no_items_start_no_worker(tmp_path: Path) -> None:
    assert run(stage=stages.Act(str(tmp_path))) == []
    assert list(tmp_path.iterdir()) == []


def test_seconds_are_those_of_the_work() -> None:
    (outcome,) = run(("sleep", 0.5))
    assert 0.5 <= outcome.seconds < 2.0


def test_a_stage_is_opened_once_per_worker(tmp_path: Path) -> None:
    run(*(("sleep", 0.02) for _ in range(20)), stage=stages.Act(str(tmp_path)))
    notes = [path.read_text() for path in tmp_path.iterdir()]
    assert len(notes) == 2
    assert all(note.count("opened") == 1 and note.startswith("opened\n") for note in notes)


CRASHES = [
    (("signal", signal.SIGSEGV), "worker killed by SIGSEGV", 2),
    (("signal", signal.SIGBUS), "worker killed by SIGBUS", 2),
    (("abort",), "worker killed by SIGABRT", 2),
    (("exit", 3), "worker exited with code 3", 2),
    (("exit", 0), "worker exited with code 0", 2),
    (("signal", signal.SIGKILL), "worker killed by SIGKILL", 4),
    (("signal", signal.SIGTERM), "worker killed by SIGTERM", 4),
    (("signal", signal.SIGRTMIN + 1), f"worker killed by signal {signal.SIGRTMIN + 1}", 4),
]


@pytest.mark.parametrize(("payload", "error", "attempts"), CRASHES)
def test_a_crash_blames_only_its_item(payload: tuple[Any, ...], error: str, attempts: int) -> None:
    others = [("double", n, 0.02) for n in range(8)]
    outcomes = run(*others[:3], payload, *others[3:])
    crashed = outcomes.pop(3)
    assert (crashed.status, crashed.error, crashed.attempt) == ("crashed", error, attempts)
    assert crashed.value is None
    assert [o.value for o in outcomes] == [2 * n for n in range(8)]
    assert {(o.status, o.attempt) for o in outcomes} == {("done", 1)}


def test_a_single_worker_is_a_process_of_its_own_too() -> None:
    outcomes = run(("signal", signal.SIGSEGV), ("pid",), ("abort",), ("pid",), workers=1)
    assert [o.status for o in outcomes] == ["crashed", "done", "crashed", "done"]
    assert os.getpid() not in {outcomes[1].value, outcomes[3].value}


def test_a_death_is_noticed_though_an_orphan_keeps_the_line_open() -> None:
    started = time.monotonic()
    outcomes = run(("double", 1), ("orphan_and_die", 8), ("double", 2))
    assert [o.status for o in outcomes] == ["done", "crashed", "done"]
    assert time.monotonic() - started < 8


def test_suspects_are_retried_alone_after_the_rest(tmp_path: Path) -> None:
    def suspect(n: int) -> tuple[Any, ...]:
        return "signal_once", signal.SIGSEGV, str(tmp_path / f"flag-{n}")

    notes = tmp_path / "notes"
    notes.mkdir()
    others = [("sleep", 0.1)] * 6
    outcomes = run(suspect(0), suspect(1), *others, suspect(2), workers=3, stage=stages.Act(str(notes)))
    assert [o.attempt for o in outcomes] == [2, 2, *[1] * 6, 2]
    assert {o.value for o in outcomes} == {"survived", "slept"}
    retriers, others_workers = {outcomes[n].worker for n in (0, 1, 8)}, {o.worker for o in outcomes[2:8]}
    assert len(retriers) == 3 and not retriers & others_workers  # each in a fresh one
    lines = [line for path in notes.iterdir() for line in path.read_text().splitlines()]
    ends = [line.split() for line in lines if line.startswith("end ")]
    slept = [float(end) for _, verb, _, end in ends if verb == "sleep"]
    retried = sorted((float(begin), float(end)) for _, verb, begin, end in ends if verb == "signal_once")
    assert len(slept) == 6 and len(retried) == 3
    assert max(slept) < retried[0][0]
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(retried))


def test_own_and_outside_deaths_are_counted_apart(tmp_path: Path) -> None:
    # Killed once from outside, then twice by its own fault: neither two attempts nor four.
    (outcome,) = run(("killed_then_faulty", str(tmp_path / "flag")))
    assert (outcome.status, outcome.attempt, outcome.error) == ("crashed", 3, "worker killed by SIGSEGV")


@pytest.mark.parametrize("workers", [1, 3])
def test_random_kills_from_outside_lose_nothing(workers: int, tmp_path: Path) -> None:
    """A thread kills workers at random moments, no item more than three times: all get finished."""
    chance = random.Random(workers)
    over = threading.Event()
    kills: Counter[str] = Counter()

    def kill_at_most(times: int, moment: str, pid: int) -> None:
        if kills[moment] < times:
            kills[moment] += 1
            os.kill(pid, signal.SIGKILL)

    def kill() -> None:
        while not over.wait(chance.uniform(0.02, 0.14)):
            pids = sorted(children())
            if not pids:
                continue
            pid = chance.choice(pids)
            with contextlib.suppress(ProcessLookupError):  # it may have ended meanwhile
                os.kill(pid, signal.SIGSTOP)  # what it notes holds until it is killed or goes on
                note = tmp_path / str(pid)
                lines = note.read_text().splitlines() if note.exists() else []
                if not lines:
                    kill_at_most(3, "starting", pid)
                elif lines[-1].startswith("begin"):
                    kill_at_most(2, lines[-1], pid)
                else:  # it may have the next item already
                    kill_at_most(1, "between items", pid)
                os.kill(pid, signal.SIGCONT)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        items = [("double", n, 0.04) for n in range(10 * workers)]
        outcomes = run(*items, ("signal", signal.SIGSEGV), workers=workers, stage=stages.Act(str(tmp_path)))
    finally:
        over.set()
        killer.join()
    crashed = outcomes.pop()
    assert crashed.status == "crashed"
    assert [(o.status, o.value) for o in outcomes] == [("done", 2 * n) for _, n, _ in items]
    assert kills.total() >= 3
    assert 0 < sum(o.attempt - 1 for o in outcomes) <= kills.total()


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (("fail", "no such\nthing: \x1b[31m \udce9"), r"LookupError: no such thing: \x1b[31m \udce9"),
        (("fail", ""), "LookupError"),
        (("fail", "x" * 9999), f"LookupError: {'x' * 486}…"),
        (("call_exit",), "SystemExit: 4"),
        (("unknown_verb",), "AttributeError: 'Act' object has no attribute 'unknown_verb'"),
        (("unpicklable",), "TypeError: the result, a function, cannot be pickled: "),
        (("one_way",), "the result cannot be unpickled: ValueError: "),
        (("double", lambda: None), "the payload cannot be pickled: "),
        (("double", stages.OneWay()), "ValueError: invalid literal"),
    ],
)
def test_an_exception_is_an_outcome_and_the_worker_lives_on(payload: tuple[Any, ...], error: str) -> None:
    first, failed, last = run(("pid",), payload, ("pid",), workers=1)
    assert (failed.status, failed.attempt, failed.value) == ("raised", 1, None)
    assert failed.error is not None and failed.error.startswith(error)
    assert len(failed.error.splitlines()) == 1 and len(failed.error) <= 530
    assert failed.error.isprintable()
    assert first.value == last.value  # the process id: nobody was replaced


def test_exceptions_have_nothing_but_their_own_words() -> None:
    outcomes = run(("fail", ""), ("fail", "x"))
    assert [o.error for o in outcomes] == ["LookupError", "LookupError: x"]


def test_a_stage_that_cannot_open_ends_the_run_with_its_message() -> None:
    with pytest.raises(
        CannotStart, match=r"^stage 'bad open' cannot start: FileNotFoundError: weights.onnx is missing$"
    ):
        run(0, 1, stage=stages.BadOpen("raise"))


@pytest.mark.parametrize(("how", "name"), [("segfault", "SIGSEGV"), ("killed", "SIGKILL")])
def test_a_stage_that_dies_in_open_is_not_started_for_ever(how: str, name: str) -> None:
    with pytest.raises(CannotStart, match=f"^stage 'bad open' cannot start: worker killed by {name}"):
        run(0, 1, stage=stages.BadOpen(how))


def test_a_worker_killed_while_it_starts_is_replaced_and_nobody_blamed(tmp_path: Path) -> None:
    outcomes = run(1, 2, 3, stage=stages.BadOpen("once", str(tmp_path / "flag")))
    assert [(o.value, o.attempt) for o in outcomes] == [(2, 1), (4, 1), (6, 1)]


def test_failed_starts_count_only_in_a_row(tmp_path: Path) -> None:
    stage = stages.BadOpen("alternate", str(tmp_path / "flag"))
    outcomes = run(-1, -1, -1, 4, stage=stage, workers=1)
    assert [(o.status, o.attempt) for o in outcomes] == [*[("crashed", 2)] * 3, ("done", 1)]


def test_a_worker_that_died_idle_is_replaced_and_nobody_blamed() -> None:
    def items() -> Iterator[Item[Any]]:
        yield Item("0", "0", ("pid",))
        (worker,) = children()
        os.kill(worker, signal.SIGKILL)
        os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
        yield Item("1", "1", ("pid",))

    first, second = run_local(stages.Act(), items(), workers=1)
    assert (second.status, second.attempt) == ("done", 1)
    assert second.value != first.value


def test_silence_is_a_stall_and_progress_is_not() -> None:
    started = time.monotonic()
    outcomes = run(("sleep", 60), ("steps", 15, 0.1), ("sleep", 0.05), stall_seconds=0.6)
    assert [o.status for o in outcomes] == ["crashed", "done", "done"]
    assert outcomes[0].error == "stalled (no progress for 0.6 s)"
    assert outcomes[0].attempt == 2
    assert [o.attempt for o in outcomes[1:]] == [1, 1]
    assert time.monotonic() - started < 15


def test_an_item_may_have_a_limit_of_its_own() -> None:
    started = time.monotonic()
    items: list[Item[Any]] = [
        Item("patient", "a", ("sleep", 1.5), stall_seconds=30.0),
        Item("hasty", "b", ("sleep", 60), stall_seconds=0.4),
        Item("of the run", "c", ("sleep", 60)),
    ]
    outcomes = {o.item.key: o for o in run_local(stages.Act(), items, workers=2, stall_seconds=0.6)}
    assert outcomes["patient"].status == "done"
    assert outcomes["hasty"].error == "stalled (no progress for 0.4 s)"
    assert outcomes["of the run"].error == "stalled (no progress for 0.6 s)"
    assert time.monotonic() - started < 20
    for limit in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"item 'a': stall_seconds {limit} is not above 0"):
            Item("a", "a", (), stall_seconds=limit)


def test_nobody_is_blamed_for_a_caller_who_takes_his_time() -> None:
    # The worker cannot go on while nobody reads what it prints: that must not count as its stall.
    items: list[Item[Any]] = [Item("0", "0", ("double", 0)), Item("1", "1", ("chatter", 100_000, 0.4))]
    outcomes = []
    for outcome in run_local(stages.Act(), items, workers=1, stall_seconds=1.2):
        outcomes.append(outcome)
        if len(outcomes) == 1:
            time.sleep(2.5)
    assert [(o.status, o.attempt) for o in outcomes] == [("done", 1), ("done", 1)]


def test_items_are_taken_as_they_are_needed() -> None:
    taken = 0

    def endless() -> Iterator[Item[Any]]:
        nonlocal taken
        for taken in itertools.count(1):
            yield Item(str(taken), str(taken), ("double", taken))

    outcomes = run_local(stages.Act(), endless(), workers=2)
    assert taken == 0
    for count, outcome in enumerate(itertools.islice(outcomes, 30), 1):
        assert outcome.value == 2 * int(outcome.item.key)
        assert taken <= count + 2 * 2
    outcomes.close()
    assert children() == set()


def test_closing_kills_workers_in_the_middle_of_work() -> None:
    outcomes = run_local(stages.Act(), [Item("a", "a", ("double", 1)), Item("b", "b", ("sleep_locked", 60))], workers=2)
    assert next(outcomes).item.key == "a"
    assert len(children()) == 2
    started = time.monotonic()
    outcomes.close()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("where", ["items", "on_progress"])
def test_an_exception_of_the_caller_comes_through_and_leaves_no_worker(where: str) -> None:
    def items() -> Iterator[Item[Any]]:
        yield Item("a", "a", ("sleep", 60))
        if where == "items":
            raise ZeroDivisionError
        yield Item("b", "b", ("double", 1))

    def on_progress(progress: Progress) -> None:
        if where == "on_progress":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(run_local(stages.Act(), items(), workers=2, on_progress=on_progress))


def test_workers_begin_while_the_source_of_items_is_slow() -> None:
    given = []

    def items() -> Iterator[Item[Any]]:
        for n in range(3):
            given.append(datetime.now(UTC))
            yield Item(str(n), str(n), ("double", n))
            time.sleep(0.5)

    outcomes = {outcome.item.key: outcome for outcome in run_local(stages.Act(), items(), workers=3)}
    assert outcomes["0"].started_at < given[2]


def test_workers_ignore_ctrl_c_and_leave_it_to_the_parent() -> None:
    items = [Item(str(n), str(n), ("sleep", 0.3)) for n in range(4)]
    outcomes = []
    for outcome in run_local(stages.Act(), items, workers=2):
        outcomes.append(outcome)
        for pid in children():
            os.kill(pid, signal.SIGINT)
    assert [(o.status, o.attempt) for o in outcomes] == [("done", 1)] * 4


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    while Program.started:
        Program.started.pop().end()


class Program:
    """A process of its own that runs endless items; whatever it starts carries its mark, and ends with the test."""

    started: ClassVar[list[Program]] = []

    def __init__(self, where: str, folder: Path, verb: str) -> None:
        self.mark = f"RUNNER_TEST_MARK={uuid.uuid4().hex}"
        name, value = self.mark.split("=")
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "support" / "runner_program.py"), where, str(folder), verb],
            env=os.environ | {name: value, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(self)
        wait_until(lambda: sum("begin" in path.read_text() for path in folder.iterdir()) == 2)

    def end(self) -> None:
        """Leave nothing behind, whatever came of the test."""
        for pid in self.living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process.stdout and not self.process.stdout.closed:
            self.process.communicate()

    def living(self) -> set[int]:
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in path.read_bytes():
                    found.add(int(path.parent.name))
            except OSError:
                continue  # it ended meanwhile
        return found


@pytest.mark.parametrize("verb", ["sleep", "sleep_locked"])
def test_ctrl_c_ends_the_run_and_leaves_no_process(verb: str, tmp_path: Path) -> None:
    program = Program("main", tmp_path, verb)
    assert len(program.living()) == 3
    os.killpg(program.process.pid, signal.SIGINT)  # as a terminal does: to parent and workers alike
    output, _ = program.process.communicate(timeout=5)
    assert (program.process.returncode, output) == (130, "interrupted\n")
    assert program.living() == set()


@pytest.mark.parametrize(
    ("where", "verb", "number"),
    [
        ("main", "sleep", signal.SIGKILL),
        ("main", "sleep_locked", signal.SIGKILL),  # only the kernel can end these
        ("thread", "sleep", signal.SIGKILL),  # and these only their own watch over the parent
        ("main", "sleep", signal.SIGTERM),
    ],
)
def test_workers_die_with_their_parent(where: str, verb: str, number: signal.Signals, tmp_path: Path) -> None:
    program = Program(where, tmp_path, verb)
    assert len(program.living()) == 3
    program.process.send_signal(number)
    output, _ = program.process.communicate(timeout=10)
    assert output == ""
    wait_until(lambda: not program.living(), seconds=5)


def test_a_thread_that_ends_takes_no_worker_with_it() -> None:
    outcomes = run_local(stages.Act(), [Item(str(n), str(n), ("sleep", 0.3)) for n in range(3)], workers=1)
    collected: list[ItemResult[Any, Any]] = []
    thread = threading.Thread(target=lambda: collected.append(next(outcomes)))
    thread.start()
    thread.join()
    collected.extend(outcomes)
    assert [(o.status, o.attempt) for o in collected] == [("done", 1)] * 3


def test_weights_add_up_and_running_names_the_items_in_hand() -> None:
    reports: list[Progress] = []
    weights = [0.5, 2.0, 4.0, 0.0]
    payloads = [("report", 0.25), ("report", 0.75), ("exit", 3), ("fail", "x")]
    items = [Item(str(n), str(n), p, w) for n, (p, w) in enumerate(zip(payloads, weights, strict=True))]
    at_yield = []
    done = 0.0
    for outcome in run_local(stages.Act(), items, workers=2, on_progress=reports.append):
        done += weights[int(outcome.item.key)]
        at_yield.append((reports[-1].done, done))
        assert outcome.item.key not in reports[-1].running
    assert reports[-1] == Progress("act", 6.5, 6.5, "items", 4)
    assert all(shown >= finished for shown, finished in at_yield)
    both = [r for r in reports if set(r.running) == {"0", "1"}]
    assert any(math.isclose(r.done, 0.25 * 0.5 + 0.75 * 2.0) for r in both)
    assert all(r.total == 6.5 for r in reports)


@pytest.mark.parametrize(("fraction", "shown"), [(-1.0, 0.0), (7.0, 1.0), (math.nan, 0.0), (math.inf, 0.0)])
def test_a_senseless_fraction_does_no_harm(fraction: float, shown: float) -> None:
    reports: list[Progress] = []
    run(("report", fraction), on_progress=reports.append)
    assert max(r.done for r in reports if r.running) == shown


def test_progress_of_a_thread_left_behind_is_nobodys() -> None:
    outcomes = run(("sleep", 1.0), ("late_progress",), workers=2)
    assert [o.status for o in outcomes] == ["done", "done"]


def test_progress_begins_anew_when_an_item_is_retried(tmp_path: Path) -> None:
    reports: list[Progress] = []
    run(("report_once", 0.75, str(tmp_path / "flag")), on_progress=reports.append)
    shown = [report.done for report in reports if report.running]
    assert max(shown) == 0.75 and shown[-1] == 0.0


def test_workers_write_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    run(("chatter", 500_000), ("abort",), ("fail", "x"), ("signal", signal.SIGSEGV))
    with pytest.raises(CannotStart):
        run(0, stage=stages.BadOpen("raise"))
    assert capfd.readouterr() == ("", "")


def test_the_last_words_of_a_crash_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="curation.runner"):
        run(("double", 1), ("abort",))
    deaths = [record.getMessage() for record in caplog.records]
    assert len(deaths) == 2
    assert all("worker killed by SIGABRT in '1'" in text and "invalid pointer" in text for text in deaths)


def test_a_worker_imports_only_what_the_stage_needs_and_computes_on_one_thread() -> None:
    values: list[Any] = [one.value for one in run(("modules",), ("environment",), workers=1)]
    modules, environment = values
    assert "tests.support.runner_stages" in modules
    assert not {"numpy", "torch", "rich", "typer", "pytest", "av", "asyncio"} & modules
    assert len(modules) < 200
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    assert {environment[name] for name in threads} == {"1"}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"workers": 0}, "workers: 0 is less than 1"),
        ({"workers": 1, "stall_seconds": 0.0}, "stall_seconds: 0.0 is not above 0"),
        ({"workers": 1, "stall_seconds": math.nan}, "stall_seconds: nan is not above 0"),
    ],
)
def test_bad_numbers_are_refused_at_once(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=f"^{error}$"):
        run_local(stages.Act(), [], **options)


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_a_weight_is_a_number_from_zero_up(weight: float) -> None:
    with pytest.raises(ValueError, match=f"item 'a': weight {weight} is not"):
        Item("a", "a", (), weight)


def test_a_stage_that_no_worker_could_import_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="stage 'act' cannot be pickled: "):
        run_local(stages.Act(folder=lambda: None), [], workers=1)  # type: ignore[arg-type]
    program = """
import sys
from tests.support import runner_stages
from curation.runner import run_local
class Local(runner_stages.Act): pass
try: run_local(Local(), [], workers=1)
except TypeError as error: sys.stdout.write(str(error))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "stage 'act' is defined in the script being run; move it to a module"

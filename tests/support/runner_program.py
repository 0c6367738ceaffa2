"""A program that runs items until somebody ends it: `runner_program.py main|thread FOLDER VERB`."""

from __future__ import annotations

import importlib
import itertools
import signal
import sys
import threading

from curation.runner import Item, run_local


def work(folder: str, verb: str) -> None:
    stage = importlib.import_module("tests.support.runner_stages").Act(folder)
    items = (Item(str(n), str(n), (verb, 60)) for n in itertools.count())
    for _ in run_local(stage, items, workers=2):
        pass


def main(where: str, folder: str, verb: str) -> int:
    if where == "thread":
        thread = threading.Thread(target=work, args=(folder, verb))
        thread.start()
        thread.join()
    try:
        work(folder, verb)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0


if __name__ == "__main__":
    # started from a script's background it would ignore Ctrl-C, as every program there does
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(*sys.argv[1:]))

"""Mutated files by the hundred: `python -m tests.bench.mutations --media 500 --cache 2000`.

Every mutated media file must end as a row of a run, and every mutated cache must be read as it was or refused in clear
words, each within its time. Prints the counts by outcome; the exit code is 1 for a hang, a crash or a traceback.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from curation.runner import default_workers
from manifests.store import Corpus
from tests.support.mutations import curate_mutated_media, read_mutated_caches, slowest

FAULTS = ("FAULT", "VALIDATE", "worker_crashed", "internal_error", "quarantined", "other values")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=int, default=500)
    parser.add_argument("--cache", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="the time limit of a case")
    parser.add_argument("--workers", type=int, default=default_workers())
    options = parser.parse_args()
    rules = {"seed": options.seed, "seconds": options.seconds, "workers": options.workers}
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        if options.media:
            start = time.perf_counter()
            outcomes = curate_mutated_media(Path(folder) / "media", options.media, **rules)
            longest = slowest(Corpus.open(Path(folder) / "media" / "corpus"))
            faults += report("media files", outcomes, time.perf_counter() - start)
            print(f"  the longest stage of a file took {longest:.1f} s")
        if options.cache:
            start = time.perf_counter()
            outcomes = read_mutated_caches(Path(folder) / "caches", options.cache, **rules)
            faults += report("caches", outcomes, time.perf_counter() - start)
    sys.exit(1 if faults else 0)


def report(what: str, outcomes: Counter[str], seconds: float) -> int:
    """Print the outcomes; returns the number of faults among them."""
    faults = sum(count for outcome, count in outcomes.items() if any(word in outcome for word in FAULTS))
    cases = outcomes.total() - sum(count for outcome, count in outcomes.items() if outcome.startswith("VALIDATE"))
    print(f"{cases} mutated {what} in {seconds:.0f} s, {faults} faults")
    for outcome, count in outcomes.most_common():
        print(f"  {count:5}  {outcome}")
    return faults


if __name__ == "__main__":
    main()

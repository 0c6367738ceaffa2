"""From annotations to consensus: combines the votes about each window and span. Takes records, returns records.

`collect_votes` selects the answers that count, `decide` gives each window its result or conflict, `group_spans` finds
the complete spans, `new_verdicts` the rows that the table of verdicts lacks.
"""

from ..tasks.windows import Window, window_of
from .em import Fit, fit_dawid_skene
from .outcome import Conflict, ConsensusResult, ConsensusSettings, RuleName, UnknownRule, decide, rule_named, side
from .regions import weigh_marks
from .rules import VoteResult, dawid_skene, gold_weight, majority, weighted
from .spans import Incomplete, Spans, group_spans, new_verdicts
from .votes import Vote, Votes, collect_votes

__all__ = [
    "Conflict",
    "ConsensusResult",
    "ConsensusSettings",
    "Fit",
    "Incomplete",
    "RuleName",
    "Spans",
    "UnknownRule",
    "Vote",
    "VoteResult",
    "Votes",
    "Window",
    "collect_votes",
    "dawid_skene",
    "decide",
    "fit_dawid_skene",
    "gold_weight",
    "group_spans",
    "majority",
    "new_verdicts",
    "rule_named",
    "side",
    "weigh_marks",
    "weighted",
    "window_of",
]

"""Human evidence: the labelling page, its server and client, routing, agreement, adjudication.

Nothing here decides thresholds: that is `curation`'s work, on the verdicts this package brings back.
"""

"""The tasks of annotators: routing of candidate spans, windows, and the proxies that annotators play."""

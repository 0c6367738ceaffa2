"""From raw videos to decided cuts: media access, detectors, decisions, the runner that does it all.

Nothing here knows the labelling server.
"""

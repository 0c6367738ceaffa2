"""The run over a corpus: identify, score, cascade, video, decide, commit."""

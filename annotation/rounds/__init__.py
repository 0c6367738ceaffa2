"""The verbs of annotation: push tasks, pull answers, adjudicate them into verdicts, and review without a server."""

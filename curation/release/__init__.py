"""The output of the pipeline: splits whose members never move."""

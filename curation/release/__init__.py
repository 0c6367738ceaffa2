"""What leaves the pipeline: splits whose members never move."""

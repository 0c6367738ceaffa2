"""The detector on pyannote's segmentation network, with weights that the user brings."""

"""The detector with pyannote's segmentation network; the user supplies the weights."""

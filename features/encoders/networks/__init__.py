"""The encoders' networks and their released weights: CLIP, Synchformer, the audio autoencoder."""

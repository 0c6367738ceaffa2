"""Training of the purity network, with hard negatives by rounds."""

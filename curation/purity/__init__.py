"""The purity detector's making: sources of audio, mixtures of them, the network, its training and its measurement."""

"""Audio front ends: mel spectrograms and Griffin-Lim, the way back from them."""

"""Whether a network is less sure of images that are nothing it was trained on."""

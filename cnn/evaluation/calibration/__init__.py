"""Whether a network's probabilities hold what they say."""

"""Training: plan, state, jitted steps, checkpoints, exact evaluation and the loop."""

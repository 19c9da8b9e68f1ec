"""Accuracy on adversarial examples."""

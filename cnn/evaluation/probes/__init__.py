"""What a network's features say of the classes, without its own classifier."""

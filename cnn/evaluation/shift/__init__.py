"""How a network's predictions change when its images move."""

"""Accuracies in percent of two arms over seven seeds."""

import numpy as np

A = np.array([91.2, 90.8, 91.9, 91.4, 90.7, 91.6, 91.1])
B = np.array([90.9, 90.1, 91.2, 91.5, 90.2, 90.8, 90.6])

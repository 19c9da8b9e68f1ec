"""Studies: which arm is better than the baseline, and is the difference real?"""

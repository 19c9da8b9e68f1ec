"""From per-seed and per-example outcomes to a verdict; `verdict.py` states the rule."""

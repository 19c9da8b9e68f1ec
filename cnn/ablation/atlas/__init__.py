"""The atlas: one question asked on several tasks, and what the studies say of it together."""

"""Evaluation suites for any checkpoint of any run folder."""

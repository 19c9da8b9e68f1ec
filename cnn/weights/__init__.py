"""Weights in and out on the command line: run folders of foreign files, and files of ours."""

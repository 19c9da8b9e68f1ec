"""Convolutional networks: which downsampling, pooling or block, and is the difference real?"""

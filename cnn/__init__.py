"""Convolutional networks in JAX: which downsampling, pooling or block, and is the difference real?"""

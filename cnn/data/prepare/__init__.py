"""Official archives, class folders and tables of files -> TFDS data sets, without TensorFlow."""

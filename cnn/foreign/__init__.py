"""Other libraries' weights files: readers, layouts of tensors, and how they fit our networks."""

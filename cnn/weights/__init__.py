"""Other people's weights: files in and out, layouts of their tensors, and run folders of them."""

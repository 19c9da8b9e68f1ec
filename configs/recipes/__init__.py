"""Published recipes for ImageNet, one file each; none was trained here."""

"""Published recipes for ImageNet, one file each; nothing of them was trained here."""

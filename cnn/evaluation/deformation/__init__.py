"""How far feature maps move when the image is bent a little."""

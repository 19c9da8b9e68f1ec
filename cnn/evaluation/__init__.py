"""What a trained network does: on any checkpoint of any run folder."""

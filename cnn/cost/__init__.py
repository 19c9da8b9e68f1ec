"""What a network costs: counted, planned and measured."""

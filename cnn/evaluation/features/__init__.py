"""What a network looks at: filters, feature maps, class activation maps."""

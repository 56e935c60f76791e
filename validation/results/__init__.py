"""What is measured and judged, as values, and the bundle that holds them."""

"""Reports for people and for CI."""

"""What is new in a release, and whether it is worse than the one before."""

"""The commands, and nothing that computes."""

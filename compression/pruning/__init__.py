"""Structured pruning: which channels and heads matter, and a network without the others."""

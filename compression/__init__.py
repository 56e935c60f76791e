"""Structured pruning, int8 quantisation, and the distillation that recovers from both."""

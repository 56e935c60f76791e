"""Measuring an artifact: quality beside the reference, latency, memory."""

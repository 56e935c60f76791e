"""Judging measurements: limits, plausibility, verdicts."""

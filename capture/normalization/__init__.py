"""Rewrites of a captured graph before anything else sees it: what it computes stays, how it says so becomes uniform."""

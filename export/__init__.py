"""From a recipe to a bundle: load, prune, tune, calibrate, capture, emit, validate; and the command line."""

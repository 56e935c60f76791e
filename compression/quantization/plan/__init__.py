"""The quantisation plan: what each tensor and each layer of a graph gets, found by measurement on calibration samples."""

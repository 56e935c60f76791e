"""Calibration: image sets and samples, observers of activations, and the table of ranges that they make.

- ``images``, ``imageset``, ``samples``: from files on disk to the named inputs of a model.
- ``observers``: from the activations of a float network to the range that int8 should represent.
- ``table``, ``diff``: the ranges of a model as a JSON file that can be kept, compared and used again.
"""

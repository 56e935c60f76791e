"""Trains the InstantStyle network and makes its checkpoints. Needs the ``training`` extra."""

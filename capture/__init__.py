"""A model's graphs as programs in one normal form, checked against the model."""

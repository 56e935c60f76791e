"""Golden pairs: a few small inputs and the reference's outputs, which lie in the bundle, so that it can be run again anywhere."""

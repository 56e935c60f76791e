"""Results of stages on disk, by everything that they depend on."""

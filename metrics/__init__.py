"""How far two pictures are apart, and the statistics of measurements."""

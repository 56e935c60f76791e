"""What a model can spare: sensitivity of its modules to int8 and to pruning, and the search for a byte budget."""

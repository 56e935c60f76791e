"""From a captured graph to an int8 program: rules, fake quantisation, training, conversion."""

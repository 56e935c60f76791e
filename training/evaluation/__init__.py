"""How well a network stylises pictures that its training never saw, beside its teacher: ``instantstyle evaluate``."""

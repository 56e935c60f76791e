"""Environments of their own for targets whose packages do not go with the others: made on request, and talked to through pipes."""

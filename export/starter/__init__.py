"""``instantstyle init``: a first recipe for a user's model, filled with what running the model tells."""

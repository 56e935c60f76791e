"""What an app needs besides the model files: their description, ready style codes, and the code that runs them."""

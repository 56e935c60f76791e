"""Small paintings made by code, dedicated to the public domain under CC0-1.0."""

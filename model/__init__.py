"""The InstantStyle network: style encoder, content encoder, AdaIN, decoder, and its checkpoints."""

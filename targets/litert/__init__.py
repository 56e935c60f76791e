"""Target ``litert``: TensorFlow Lite's file format, for LiteRT on phones, written by ourselves from the captured program."""

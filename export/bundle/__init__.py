"""The bundle as a folder: assembled, and swapped in as a whole."""

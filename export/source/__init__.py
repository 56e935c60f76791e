"""The model and its images: loaded, checked and probed."""

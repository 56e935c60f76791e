"""Sizes of the images that training works on, in pixels."""

CONTENT_SIZE = 384  # what the teacher's network takes
STYLE_SIZE = 512  # what the style encoder takes

# The strengths of style at which a sweep paints a photo.
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)

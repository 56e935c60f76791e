"""Sizes of the images that training works on, in pixels."""

CONTENT_SIZE = 384  # what the teacher's network takes
STYLE_SIZE = 512  # what the style encoder takes

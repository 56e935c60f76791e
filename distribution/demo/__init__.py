"""A page on this machine that paints with an artifact of the target ``web``, in the browser."""

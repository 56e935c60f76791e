"""Target ``coreai``: ``.aimodel`` assets for Apple's Core AI."""

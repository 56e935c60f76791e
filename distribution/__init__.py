"""From a bundle that passed to an app that has it: signatures, a registry of static files, and what is new in a release."""

"""Training a changed graph against its whole float self."""

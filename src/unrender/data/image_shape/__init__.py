"""Data sets of images paired with 3D shapes."""

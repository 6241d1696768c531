"""One module per layout of posed images on disk."""

"""One module per file format of posed images."""

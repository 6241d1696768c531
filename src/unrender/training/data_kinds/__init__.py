"""The kinds of data that methods are fitted to: one module each."""

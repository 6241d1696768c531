"""Volume rendering: ray intervals, proposals, compositing."""

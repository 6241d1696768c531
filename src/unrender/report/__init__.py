"""HTML pages of results."""

import logging

# Matplotlib tells of its font cache at first use, which is no news for whoever wants a report.
# A program that sets up logging still gets to hear it.
logging.getLogger("matplotlib").addHandler(logging.NullHandler())

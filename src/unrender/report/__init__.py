"""HTML pages of results."""

import logging

# Matplotlib announces at first use that it builds its font cache; that message is irrelevant to
# somebody who wants a report. Programs that configure logging still receive it.
logging.getLogger("matplotlib").addHandler(logging.NullHandler())

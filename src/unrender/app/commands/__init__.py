"""One module for each command; they import torch only when they run."""

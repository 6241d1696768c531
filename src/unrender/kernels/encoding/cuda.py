"""Positional encodings on a GPU: the reference, whose operations are limited by memory."""

from unrender.kernels.encoding import reference

encode = reference.encode

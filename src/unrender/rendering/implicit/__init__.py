"""Rendering of signed distance functions: sphere tracing and shaded surfaces."""

"""Shapes as functions of space: signed distances, occupancy, solids and warps."""

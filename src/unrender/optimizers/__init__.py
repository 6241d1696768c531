"""Optimizers: Adam with one step size per tensor, and Muon."""

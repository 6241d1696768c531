"""The networks of zero123 and ZeroNVS, and their published checkpoints."""

"""Quantisation-aware training: a network learns to bear INT8."""

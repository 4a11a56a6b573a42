"""Quantisation-aware training: a trained network is trained on, so that it loses less by INT8.

The result is float weights, and the ranges to quantise them with. The INT8 model is made of them by
the usual export and quantisation.
"""

"""Quantisation-aware training: a network learns to bear INT8.

It takes a trained network and writes no INT8 model: the network is exported and quantised after it.
"""

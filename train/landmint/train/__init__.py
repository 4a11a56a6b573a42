"""Faces in, trained networks out: data, augmentation, networks, losses, distillation, the loop.

It exports, quantises and measures nothing, and knows nothing of the stages after it.
"""

"""Quantisation-aware training: a network learns to bear INT8.

<<<<<<< HEAD
It takes a trained network and writes no INT8 model: the network is exported and quantised after it.
=======
Not a training loop of its own: that is `landmint.train.fit`. INT8 is made of
its weights as of any other.
>>>>>>> 8b89276 (Say what the rooms of quantize are, and what they are not)
"""

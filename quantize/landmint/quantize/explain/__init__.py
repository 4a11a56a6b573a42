"""Where INT8 loses accuracy: how much each layer costs, and at which operator engines differ.

It changes no model and judges none. Which layers stay in float is decided downstream, by measured
candidates.
"""

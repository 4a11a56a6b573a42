"""Where INT8 loses: layers by what they cost, and where engines part.

It changes no model, and sets no limit: which layers stay in float is chosen by measured candidates.
"""

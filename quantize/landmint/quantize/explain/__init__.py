"""Where INT8 loses: layers by what they cost, and where engines part.

<<<<<<< HEAD
It changes no model, and sets no limit: which layers stay in float is chosen by measured candidates.
=======
It changes no model: which layers to keep in float is searched for elsewhere.
>>>>>>> 8b89276 (Say what the rooms of quantize are, and what they are not)
"""

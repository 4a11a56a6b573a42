"""Trained networks in, float bundles out: one network in every format that targets want.

Every form is compared with the network it came from, on real crops. INT8 forms are made of these by
`landmint.quantize`, and all of them are run by `landmint.runtime`.
"""

"""Float bundles in, INT8 variants out: of one network in every format of a bundle.

Scales come from calibration faces, whose hashes go into the manifest. In `qat/` a network can be
trained to lose less by it. This room does not judge: what INT8 cost is measured and gated
downstream.
"""

"""One file a format: how its INT8 variant is made by the one decision of ranges.

OpenVINO has a second way, by NNCF's own ranges.
"""

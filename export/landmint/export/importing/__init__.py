"""Networks of others in: a model's file and what a person says of it become a bundle like ours.

The file itself, byte for byte, is the bundle's reference. Every form is made of a copy whose input
and outputs are the contract's, and is compared with the file on crops.
"""

"""All measurements of many sessions in one SQLite file: kept, listed, searched for changes, drawn.

It measures nothing and judges nothing: whether a candidate is slower than this device's own history
is decided by `landmint.pipeline.judge.history`.
"""

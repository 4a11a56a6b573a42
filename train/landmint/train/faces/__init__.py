"""Labelled faces: read from disk in the formats people have, drawn where they have none.

Every data set, the synthetic one included, is files on disk that a reader turns into a `FaceSet`.
Not a data loader: crops, augmentation and batches stand beside it, and detection is elsewhere.
"""

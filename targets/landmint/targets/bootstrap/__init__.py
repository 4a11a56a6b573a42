"""Programs that an ssh target runs on a device before the device layer is there.

Each is the source of one process, sent as it stands: the standard library alone, no import of each
other. Importing this package runs nothing.
"""

"""The transport "adb": Android phones, measured by the platform's own benchmark_model.

A phone has no Python, so its agent runs here (`agent`), and asks the phone (`phone`) through the
system's adb (`client`) to run benchmark_model (`tool`).
"""

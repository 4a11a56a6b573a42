"""Boards without the board: the engines' own wheels for their processors, under QEMU.

What an emulated processor computes is what the real one would; how long it takes says nothing. So
landmarks and instruction counts are measured here, and never times. It emulates programs, not
machines: the system calls are this machine's.
"""

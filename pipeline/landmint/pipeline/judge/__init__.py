"""Judging: figures in, verdicts and advice out; the one place where a figure is held to a limit.

It measures nothing and draws nothing. It imports neither the report nor the command line: they
show what is decided here.
"""

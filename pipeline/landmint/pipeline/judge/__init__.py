"""Judging: takes measured figures and limits, returns verdicts and advice.

Figures are compared with limits only here. The report and the command line show the result; this
room imports neither.
"""

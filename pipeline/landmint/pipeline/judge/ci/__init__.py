"""What CI systems and dashboards read of a judgement: one file a format. Nothing is judged here.

Names of variants and reasons come from outside: each format escapes them by its own rules. A number
that is not finite is left out where a format has none.
"""

"""What drives the other rooms and what people see: the command, recipes, stages, the report.

It trains, converts, quantises and measures nothing itself: those are the rooms upstream. What it
owns is their order, the check whether a stage is up to date, and the words on the screen.
"""

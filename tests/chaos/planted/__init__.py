"""Bugs that are planted into the running product, to see that a chaos run and its checker catch them.

The product has no switch for them: a program that is told `PLANTED_BUG` patches itself at its start.
"""

"""Matching many names against many patterns without trying every pair.

effort.py    how many comparisons a checkpoint may cost
grams.py     pieces of three characters, by which texts and pieces of text are found
prefixes.py  which of many texts another text begins with, or holds
globs.py     shell wildcards as `fnmatch` reads them
shapes.py    names that differ in numbers only, as one
regexes.py   what a text must hold so that a regular expression can match
"""

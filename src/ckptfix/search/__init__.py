"""Matching many names against many patterns without trying every pair.

effort.py    how many comparisons a checkpoint may cost
grams.py     three-character pieces, by which texts and parts of texts are found
prefixes.py  which of many texts another text begins with or contains
globs.py     shell wildcards as `fnmatch` reads them
shapes.py    names that only differ in numbers, as one
regexes.py   what a text must contain for a regular expression to match
"""

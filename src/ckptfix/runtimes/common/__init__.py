"""Lookup pieces that several runtimes share; a runtime's folder uses those it needs.

rows.py          tables of what releases do: the row of a release
lookup_rules.py  how a release looks names up: the content of its row
mapping.py       how a release applies its name mappers to the metadata
patterns.py      the exclude list, indexed
exclusion.py     the result of checking an exclude list
entries.py       which entry of quantized_layers a module gets
bound.py         metadata bound to model classes, ready for lookups
effective.py     metadata as a release stores it
objects.py       JSON objects, read as the runtimes read them; errors there are StopsErrors here
layer_maps.py    quantized_layers and lists of excluded modules, as statements
foreign.py       another quantizer's metadata
"""

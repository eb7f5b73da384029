"""What a runtime release resolves for a module name: exclusion and quant_algo.

dialects.py     which release does what: a table
mapping.py      how a release applies its name mappers to the metadata
patterns.py     the exclude list, indexed
regexes.py      the exclude list as SGLang reads it
exclusion.py    whether a module is excluded
quant_algo.py   which entry of quantized_layers a module gets
binding.py      metadata bound to model classes, ready to be asked
"""

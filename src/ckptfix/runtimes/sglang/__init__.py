"""SGLang.

releases.py   which release does what: tables
reading.py    what a release takes from the metadata files
exclusion.py  whether a module is excluded; regexes.py the exclude list as SGLang reads it
profiles/     one file a release: mappers and packed tables of every architecture

The reading follows SGLang's own code step by step, because what null, a string or a missing field
comes to is decided by the order of the steps. tests/cases and tests/truth hold it against what the
real SGLang did.
"""

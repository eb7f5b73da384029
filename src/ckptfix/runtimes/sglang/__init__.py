"""SGLang.

releases.py   which release does what: tables
reading.py    what a release takes from the metadata files
exclusion.py  whether a module is excluded; regexes.py the exclude list as SGLang reads it
profiles/     one file per release: mappers and packed tables of every architecture

The reading follows SGLang's own code step by step, because the order of the steps decides what
null, a string or a missing field means. tests/cases and tests/truth compare it with
what the real SGLang did.
"""

"""Where model classes put modules, learned from the classes themselves; data, not code.

`tools/learn_places.py` builds the classes of a release and writes `<runtime>/learned/`: what a
class does is a table in `tables.jsonl`, and `<release>.json` has the table of each architecture and
what it was learned from. Equal tables are stored once for all releases.

    records.py  the content of the files; store.py reads them, line by line
    table.py    one table, ready for lookups
    settings.py, sizes.py  values that stop a class and sizes that it expects, of releases in files
                of their own (release_file.py)
"""

"""Where model classes put modules, learned from the classes themselves; data, not code.

`tools/learn_places.py` builds the classes of a release and writes `<runtime>/learned/`: what a
class does is a table, in `tables.jsonl`, and `<release>.json` says which table an architecture has
and what it was learned from. Equal tables are stored once, whatever the release.

    records.py  what is in the files; store.py reads them, a line of them at a time
    table.py    one table, ready for lookups
"""

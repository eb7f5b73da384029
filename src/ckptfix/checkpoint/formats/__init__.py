"""How modules are stored: `table` has a row for each format, `stored` finds the rows that fit."""

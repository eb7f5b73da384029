"""JSON texts: decoded, searched for positions, edited without reformatting."""

"""Small things that every room may need: errors, atomic files, processes, precision."""

"""Small things that every subpackage may need: errors, atomic files, processes, precision."""

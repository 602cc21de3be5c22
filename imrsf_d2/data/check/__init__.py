"""A list of everything that is wrong with a dataset, made in one pass over its files."""

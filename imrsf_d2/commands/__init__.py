"""One module for each command: its arguments, and the call of the package that does the work.

Each has `main(argv) -> exit code` and imports nothing heavy before its arguments are read, so that --help is quick.
"""

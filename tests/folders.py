"""What a folder holds."""


def contents(folder):
    """Relative path -> bytes, of every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

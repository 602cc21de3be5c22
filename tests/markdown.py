"""Reports are read as data: their tables, not their sentences."""


def read_tables(text):
    """The tables of a Markdown text: each a list of rows of stripped cells, the header first."""
    tables, inside = [], False
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not inside:
                tables.append([])
            if not all(set(cell) <= set(":-") and "-" in cell for cell in cells):  # the rule below the header
                tables[-1].append(cells)
        inside = line.startswith("|")
    return tables

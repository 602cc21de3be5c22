"""Self-contained HTML pages: one file that opens from disk and needs no network."""

"""What both preparations write beside their data."""

__all__ = ["MARKER", "RECORDS", "SUMMARY"]

#: Records what the folder was made with, and whether everything is there (see `imrsf_d2.utils.claim`).
MARKER = "prepared.json"
#: Folder with a small file per finished tile, from which an interrupted run continues.
RECORDS = ".prepared"
#: A table for people.
SUMMARY = "summary.md"

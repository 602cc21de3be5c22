"""A download of DFC2023 track 2 becomes tiles of the size that models are trained on."""

"""Fabricated scenes in the layouts of the real data sets: for demo, tests, and first steps without downloads."""

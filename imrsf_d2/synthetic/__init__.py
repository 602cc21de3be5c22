"""Fabricated scenes in the layouts of the real datasets: for demo, tests, and first steps without downloads."""

"""From scenes of any extent to one map: windows through the model, what they found put together, files to open."""

"""From exported scenes and vector labels to aligned land-cover tiles."""

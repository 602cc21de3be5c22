"""The proposed model, its baseline, its ablations and its pre-training on one budget, and what their scores say."""

"""The study: the proposed model, its baseline and its ablations on one budget, and what the numbers say."""

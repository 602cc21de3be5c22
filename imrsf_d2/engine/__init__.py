"""Training and evaluation runs: configuration, optimiser, checkpoints, trainer, demo."""

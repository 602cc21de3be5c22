"""Training and evaluation runs: configuration, optimizer, checkpoints, trainer, demo."""

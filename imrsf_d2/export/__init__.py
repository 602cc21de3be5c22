"""Trained models as graphs of fixed shapes: `torch.export` and ONNX."""

"""Evaluators of a dataset, and the sweep over all subsets of the modalities with its tables and reports."""

from imrsf_d2.evaluation.build import build_evaluator
from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.evaluation.panoptic_evaluator import PanopticEvaluator
from imrsf_d2.evaluation.semantic_evaluator import SemanticEvaluator
from imrsf_d2.evaluation.sweep import sweep_subsets

__all__ = ["InstanceEvaluator", "PanopticEvaluator", "SemanticEvaluator", "build_evaluator", "sweep_subsets"]

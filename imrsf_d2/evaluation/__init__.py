"""Scores: evaluators for one pass, the sweep over all subsets of modalities, tables and pictures."""

from imrsf_d2.evaluation.build import build_evaluator
from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.evaluation.sweep import sweep_subsets

__all__ = ["InstanceEvaluator", "build_evaluator", "sweep_subsets"]

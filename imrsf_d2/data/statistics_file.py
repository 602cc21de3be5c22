"""`statistics.yaml`: the statistics of a dataset, measured and written beside its `dataset.yaml`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from imrsf_d2.data.dataset_file import STATISTICS_FILE, split_name
from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.data.statistics import DatasetStatistics, describe_statistics, with_statistics
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError

__all__ = ["write_statistics"]


def write_statistics(name: str, statistics: Mapping[str, DatasetStatistics]) -> tuple[Path, str]:
    """Write the statistics of a dataset beside its `dataset.yaml`, of those modalities that have none in it.

    Args:
        name: `DIR/dataset.yaml:train`.
        statistics: of its modalities.

    Returns:
        The path of the file, and its content.

    Raises:
        InputError: if all modalities have statistics in the `dataset.yaml`.
    """
    path, split = split_name(name)
    file = read_dataset_file(path)
    entries = [entry for entry in file.modalities if "MEAN" not in entry]
    if not entries:
        raise InputError(
            f"{file.path} has MEAN and STD of all modalities; delete them there from those that {STATISTICS_FILE} is to have."
        )
    text = _statistics_yaml(entries, statistics, f"{file.path.name}:{split}")
    target = file.path.with_name(STATISTICS_FILE)
    write_text(target, text)
    return target, text


def _statistics_yaml(entries: Sequence[Mapping], statistics: Mapping[str, DatasetStatistics], source: str) -> str:
    """The statistics that lie beside a `dataset.yaml`: {NAME: {MEAN: [...], STD: [...]}}.

    Args:
        entries: the modalities to include, as of `MODEL.IMRSF.MODALITIES`. What is not measured is left out.
        statistics: of `compute_statistics`.
        source: what was measured, for a comment.
    """
    lines = [f"# measured on {source}"]
    for entry in entries:
        modality, found = Modality.from_mapping(entry), statistics[entry["NAME"]]
        if found.moments.count and not modality.categorical:
            measured, remark = with_statistics(entry, modality, found)
            lines.append(f"# {describe_statistics(found, modality.clip is not None)}{remark}")
            mean, std = (_as_yaml(measured[key]) for key in ("MEAN", "STD"))
            lines.append(f"{modality.name}: {{MEAN: {mean}, STD: {std}}}")
    return "\n".join(lines) + "\n"


def _as_yaml(values: Sequence[float]) -> str:
    """Numbers as YAML reads them: 2e-05 would be a text to it."""
    return yaml.safe_dump(list(values), default_flow_style=True, width=math.inf).strip()

"""The built-in datasets: importing this package registers their names; a dataset is read when it is first used."""

from collections.abc import Iterable

from detectron2.data import DatasetCatalog

from imrsf_d2.data.dataset_file import is_folder_name
from imrsf_d2.data.datasets.dfc2023 import register_dfc2023
from imrsf_d2.data.datasets.folder import register_folder
from imrsf_d2.data.datasets.quadruplets import register_quadruplets
from imrsf_d2.data.datasets.sen1floods11 import register_sen1floods11
from imrsf_d2.data.datasets.spacenet6 import register_spacenet6
from imrsf_d2.utils.errors import InputError

__all__ = [
    "NAMES",
    "check_registered",
    "register_dfc2023",
    "register_quadruplets",
    "register_sen1floods11",
    "register_spacenet6",
]

#: The names that are registered here.
NAMES: list[str] = []

for _split in ("train", "val"):
    register_dfc2023(f"dfc2023_track2_{_split}", root=None, split=_split)
    register_dfc2023(f"dfc2023_track2_semantic_{_split}", root=None, split=_split, task="semantic")
    register_quadruplets(f"quadruplets_{_split}", root=None, split=_split)
    register_spacenet6(f"spacenet6_{_split}", root=None, split=_split)
    register_spacenet6(f"spacenet6_semantic_{_split}", root=None, split=_split, task="semantic")
    NAMES += [f"dfc2023_track2_{_split}", f"dfc2023_track2_semantic_{_split}", f"quadruplets_{_split}"]
    NAMES += [f"spacenet6_{_split}", f"spacenet6_semantic_{_split}"]
for _split in ("train", "val", "test", "bolivia"):
    register_sen1floods11(f"sen1floods11_{_split}", root=None, split=_split)
    NAMES.append(f"sen1floods11_{_split}")


def check_registered(names: Iterable[str], where: str = "DATASETS") -> None:
    """Check that datasets of these names are registered; those of a `dataset.yaml` become so.

    Args:
        names: to look for.
        where: the key or option they come from, for the message.

    Raises:
        ValueError: if one is registered neither here nor by the user, or its `dataset.yaml` is wrong.
        MissingFileError: if there is no such `dataset.yaml`.
    """
    for name in names:
        if is_folder_name(name):
            register_folder(name)
        if name not in DatasetCatalog:
            raise InputError(
                f"{where} names {name!r}, which is not registered; imrsf_d2 registers {NAMES}, a dataset of your own is called "
                "DIR/dataset.yaml:train, and datasets/README.md says what is in that file."
            )

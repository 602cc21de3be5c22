"""Where configs are: a user's own files, and ours by name, in a checkout or an installed package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode

import imrsf_d2
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = ["find_config", "read_config"]

#: Where our own configs are: in an installed package, and in a checkout beside it.
CONFIG_FOLDERS = (Path(imrsf_d2.__file__).parent / "configs", Path(imrsf_d2.__file__).parent.parent / "configs")


def find_config(name: str | os.PathLike) -> str:
    """The path of a config.

    Args:
        name: a path, or the name of one of our own configs, e.g. "dfc2023_instance" or "ablations/dfc2023_instance/multivit";
            also as it is called in a checkout, "configs/dfc2023_instance.yaml".

    Raises:
        MissingFileError: if it is neither.
    """
    name = os.fspath(name)
    if found := name if os.path.isfile(name) else _find_own(name):
        return found
    raise MissingFileError(
        f"no config file {name!r}, and no config of that name among {_known()}; give one with "
        "--config-file, e.g. configs/dfc2023_instance.yaml."
    )


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """What a config file sets, over what the files of its `_BASE_` set.

    Args:
        path: of a YAML file; its `_BASE_` is a path from that file on, or the name of one of our own configs.

    Raises:
        MissingFileError: if a `_BASE_` is neither.
        InputError: if a file is no YAML, or holds no keys.
    """
    return _ConfigFile.load_yaml_with_base(os.fspath(path), allow_unsafe=True)


class _ConfigFile(CfgNode):
    """Detectron2's reader, which asks itself for each `_BASE_`, joined to the folder of the file that names it."""

    @classmethod
    def load_yaml_with_base(cls, filename: str, allow_unsafe: bool = False) -> dict[str, Any]:
        path = _find_base(filename)
        with cls._open_cfg(path) as file:
            try:
                top = yaml.compose(file)
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise InputError(f"{path} is no YAML: {error}") from error
        if not isinstance(top, yaml.MappingNode):
            raise InputError(f"{path} holds no keys, expected a config: KEY: value lines, or a _BASE_ at least.")
        return super().load_yaml_with_base(path, allow_unsafe)


def _find_base(path: str) -> str:
    if "://" in path or os.path.isfile(path):
        return path
    parts = Path(os.path.normpath(path)).parts
    for start in range(1, len(parts)):  # the folder that was joined is not known: the longest name counts
        if found := _find_own("/".join(parts[start:])):
            return found
    raise MissingFileError(f"no config file {path!r}, which a _BASE_ names, and no config of that name among {_known()}.")


def _find_own(name: str) -> str | None:
    own = name.removeprefix("configs/").removesuffix(".yaml")
    for folder in CONFIG_FOLDERS:
        if (path := folder / f"{own}.yaml").is_file():
            return os.fspath(path)
    return None


def _known() -> str:
    tasks = {path.stem for folder in CONFIG_FOLDERS for path in folder.glob("*.yaml")}
    small = {
        f"{kind}/{path.stem}"
        for kind in ("demo", "quick")
        for folder in CONFIG_FOLDERS
        for path in folder.glob(f"{kind}/*.yaml")
    }
    return ", ".join([*sorted(tasks), *sorted(small)])

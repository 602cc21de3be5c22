"""Argument parsing that all commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from imrsf_d2.utils.command_names import TOOLS, as_called
from imrsf_d2.utils.errors import InputError

__all__ = [
    "add_config",
    "add_data",
    "add_num_workers",
    "add_overrides",
    "add_processes",
    "command_parser",
    "read_pairs",
    "take_data",
]

#: The splits that a model is evaluated on, the first that a dataset has.
TEST_SPLITS = ("val", "test")

Value = TypeVar("Value")


def command_parser(name: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser whose texts name commands as the reader calls them.

    Args:
        name: a key of `TOOLS`.
        description, epilog: written for a checkout.
    """
    return argparse.ArgumentParser(
        prog=as_called(TOOLS[name]),
        description=as_called(description),
        epilog=as_called(epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def read_pairs(option: str, texts: Sequence[str] | None, convert: Callable[[str], Value], form: str) -> dict[str, Value]:
    """ "rgb=scene.tif" -> {"rgb": "scene.tif"}.

    Args:
        option: for messages.
        texts: what was given, None for nothing.
        convert: makes the value.
        form: of a text, for messages: "NAME=FILES, e.g. rgb=scene.tif".

    Raises:
        InputError: if a text is no such pair, or names what another one named.
    """
    pairs: dict[str, Value] = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        try:
            if not name or not value:
                raise ValueError
            converted = convert(value)
        except ValueError:
            raise InputError(f"{option} is {text!r}, expected {form}.") from None
        if name in pairs:
            raise InputError(f"{option} names {name!r} twice; several files of one sensor are a folder or a glob.")
        pairs[name] = converted
    return pairs


def add_config(parser: argparse.ArgumentParser, text: str, required: bool = True) -> None:
    """Add `--config-file`.

    Args:
        text: the help.
        required: False if the command also has `--data`.
    """
    parser.add_argument("--config-file", required=required, metavar="FILE", help=text)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data`, which `take_data` turns into a config file and overrides."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of a dataset.yaml: train on its split train and evaluate on val (without one: test; another: "
        "DIR/dataset.yaml:SPLIT); without --config-file, with the packaged config of its task",
    )


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that `launch_run` starts in several processes, on one or more machines."""
    # None means one, or as many as torchrun started.
    parser.add_argument(
        "--num-gpus",
        type=int,
        metavar="N",
        help="processes of this machine, one per GPU; with MODEL.DEVICE cpu they share the cores (default: 1, "
        "or as many as torchrun started)",
    )
    parser.add_argument("--num-machines", type=int, default=1, metavar="N", help="machines in all (default: 1)")
    parser.add_argument("--machine-rank", type=int, default=0, metavar="N", help="number of this machine, from 0")
    parser.add_argument(
        "--dist-url",
        default="auto",
        metavar="URL",
        help="where the processes meet, e.g. tcp://HOST:PORT of the first machine; auto is for one machine",
    )
    parser.add_argument(
        "--machine-timeout",
        type=float,
        default=600,
        metavar="S",
        help="how many seconds to wait until the command runs on all machines (default: 600)",
    )


def add_num_workers(parser: argparse.ArgumentParser) -> None:
    """Add `--num-workers` of a command that shares its files out among processes."""
    parser.add_argument(
        "--num-workers", type=int, default=0, action=_NotNegative, metavar="N", help="processes; 0 = all cores"
    )


class _NotNegative(argparse.Action):
    """Stores a number of 0 or more."""

    def __call__(self, parser, namespace, values, option_string=None):
        if values < 0:
            parser.error(f"{self.option_strings[0]} is {values}, expected 0 or more")
        setattr(namespace, self.dest, values)


def add_overrides(parser: argparse.ArgumentParser, text: str = "changes to the config") -> None:
    """Add what comes last on a command line: KEY VALUE pairs."""
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help=text)


def take_data(args: argparse.Namespace, training: bool) -> None:
    """Put what `--data` means in the place of `config_file` and in front of `opts`, for all processes of a command.

    Args:
        args: with config_file, data and opts; changed in place.
        training: whether the command reads training data.

    Raises:
        InputError: if neither a config nor a dataset is given, or the dataset lacks the split that the command reads.
        MissingFileError: if there is no such dataset.
    """
    if args.data is None:
        if args.config_file is None:
            raise InputError("neither --config-file nor --data is given, expected one of them, or both.")
        return
    from imrsf_d2.data.dataset_file import DATASET_FILE, is_folder_name, split_name
    from imrsf_d2.data.dataset_yaml import read_dataset_file

    path, test = split_name(args.data) if is_folder_name(args.data) else (args.data, None)
    path = os.path.abspath(os.path.expanduser(path))
    file = read_dataset_file(os.path.join(path, DATASET_FILE) if os.path.isdir(path) else path)
    if test is None:
        test = next((split for split in TEST_SPLITS if split in file.splits), None)
    train = "train" if "train" in file.splits else None
    if (train if training else test) is None:
        expected = "train" if training else f"{' or '.join(TEST_SPLITS)}, or --data {file.path}:SPLIT"
        raise InputError(f"{file.path} has the splits {', '.join(file.splits)} (SPLITS), expected {expected}.")
    datasets = {"DATASETS.TRAIN": train, "DATASETS.TEST": test}
    names = {key: (f"{file.path}:{split}",) if split else () for key, split in datasets.items()}
    args.config_file = args.config_file or file.task  # the packaged configs for any dataset are called like their tasks
    args.opts = [*(word for key, value in names.items() for word in (key, repr(value))), *args.opts]

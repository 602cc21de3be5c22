"""`imrsf`: one command, whose subcommands are those of `imrsf_d2.commands`."""

from __future__ import annotations

import importlib
import sys

import imrsf_d2

__all__ = ["main"]

#: subcommand -> its module in `imrsf_d2.commands`, and what it does
COMMANDS = {
    "train": ("train", "train a model, or evaluate one with --eval-only"),
    "evaluate": ("train", "score a checkpoint: `train --eval-only`"),
    "subsets": ("subsets", "score a checkpoint with every subset of its sensors"),
    "prepare dfc2023": ("prepare_dfc2023", "cut the tiles of DFC2023 track 2, or check a download"),
    "prepare quadruplets": ("prepare_quadruplets", "make land-cover tiles from exported scenes and polygons"),
    "prepare tiles": ("prepare_tiles", "make a dataset of tiles from scenes of any sensors and labels of any kind"),
    "predict": ("predict", "map a scene: rasters of any extent to polygons or a label map"),
    "check": ("check", "list everything that is wrong with a dataset"),
    "statistics": ("statistics", "measure mean and standard deviation of a dataset's bands"),
    "visualize": ("visualize", "draw what a model is fed, the ground truth, and what it predicts"),
    "convert": ("convert", "convert a ViT's weights from other projects into weights to start from"),
    "export": ("export", "export a trained model to ONNX or torch.export"),
    "synthetic": ("synthetic", "write a small synthetic dataset"),
    "demo": ("demo", "synthetic data, a short training run on the CPU, every subset of the sensors"),
    "doctor": ("doctor", "check what is installed and whether it works"),
}


def usage() -> str:
    """What `imrsf --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: imrsf COMMAND [arguments]",
            "",
            "Segmentation from several Earth-observation sensors, any of which may be missing.",
            "",
            *lines,
            "",
            "`imrsf COMMAND --help` has the arguments and examples. A config is a path, or the name of a",
            "packaged one, e.g. --config-file dfc2023_instance.",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: its name and arguments; None for the command line's.

    Returns:
        The exit code: the subcommand's, 2 for an unknown one.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] == "--version":
        print(imrsf_d2.__version__)
        return 0
    for length in (2, 1):  # "prepare dfc2023" before "prepare"
        name = " ".join(argv[:length])
        if name in COMMANDS:
            module = importlib.import_module(f"imrsf_d2.commands.{COMMANDS[name][0]}")
            rest = argv[length:]
            return module.main(["--eval-only", *rest] if name == "evaluate" else rest)
    matching = [name for name in COMMANDS if name.startswith(argv[0] + " ")]
    print(
        f"error: {' '.join(argv[:2])!r} is not a command of imrsf, expected one of {', '.join(matching or COMMANDS)}.",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())

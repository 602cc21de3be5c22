#!/usr/bin/env python
"""Measure speed and memory on this machine and compare the values with their targets.

Examples:
    python tools/benchmark.py all --json output/benchmark.json
    python tools/benchmark.py backbone --quick
    python tools/benchmark.py loader --config-file configs/dfc2023_instance.yaml --size 512
    python tools/benchmark.py iteration --device cuda SOLVER.AMP.ENABLED True
    OMP_NUM_THREADS=1 python tools/benchmark.py step SOLVER.IMS_PER_BATCH 2
    python tools/benchmark.py scene --device cuda --batch-size 16 INPUT.CROP.SIZE [512,512]
    python tools/benchmark.py export --config-file configs/demo/dfc2023_instance.yaml --size 256

On two cores, `all` takes about 40 minutes with --repeats 3, most of it for `backbone` and `sweep`. Each table is printed as soon
as it is there. What is compared is measured in turn within one run, so that the ratios are meaningful even on a busy machine.
`loader` writes synthetic tiles below --output and reads them as a training run with --config-file would; `iteration`, which is not
part of `all`, trains on them with --device; `step`, which is not part of it either, names the largest costs of a whole training step on
the CPU, of the demo's config and of the paper's size, in CPU time. `export`, which is not part of it either, needs the packages of
the extra of that name. `scene` maps a synthetic scene with the model of --config-file, and compares it with
the model alone. KEY VALUE pairs change the config; MODEL.WEIGHTS maps with a trained model.
"""

import argparse
import json
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # projects/ is not installed
CONFIGS = REPOSITORY / "configs"


def write_tiles(args):
    """The config, and the tiles that it trains on."""
    from imrsf_d2.engine.configuration import load_config
    from imrsf_d2.synthetic.layouts import write_layout

    os.environ["DETECTRON2_DATASETS"] = args.output
    cfg = load_config(args.config_file, ["MODEL.DEVICE", args.device, *args.opts])
    layout = "dfc2023" if cfg.DATASETS.TRAIN[0].startswith("dfc2023") else "quadruplets"
    write_layout(layout, Path(args.output) / layout, num_train=args.tiles, num_val=1, size=args.size, seed=0, overwrite=True)
    return cfg


def measure_loader(args):
    from projects.benchmarks.loader import benchmark_loader
    from projects.benchmarks.results import Result

    return [Result("Loader", notes=[benchmark_loader(write_tiles(args), repeats=args.repeats or 5)])]


def measure_iteration(args):
    from projects.benchmarks.iteration import benchmark_iteration

    return [benchmark_iteration(write_tiles(args), repeats=args.repeats or 20)]


def measure_step(args):
    """Of the demo's config and the full-sized one, or of the one that was asked for."""
    from projects.benchmarks.step import benchmark_step

    full = Path(args.config_file)
    both = [CONFIGS / "demo" / full.name, full] if full.parent == CONFIGS else [full]
    for config in [CONFIGS / "quick" / full.name] if args.quick else both:
        args.config_file, args.device = str(config), "cpu"
        yield benchmark_step(write_tiles(args), f"{config.parent.name}/{config.name}", **repeats_of(args))


def measure_scene(args):
    from imrsf_d2.engine.configuration import load_config
    from projects.benchmarks.scene import benchmark_scene

    config_file = CONFIGS / "quick" / Path(args.config_file).name if args.quick else args.config_file
    cfg = load_config(str(config_file), ["MODEL.DEVICE", args.device, *args.opts])
    side = args.scene or (SCENE_PX["quick"] if args.quick else SCENE_PX[args.device])
    options = {"batch_size": args.batch_size, "num_workers": args.num_workers, "repeats": args.repeats or 3}
    return [benchmark_scene(cfg, side=side, **options)]


def measure_exports(args):
    from imrsf_d2.engine.configuration import load_config
    from projects.benchmarks.exports import benchmark_exports

    cfg = load_config(args.config_file, ["MODEL.DEVICE", "cpu", *args.opts], need_data=False)
    return benchmark_exports(cfg, args.size, **repeats_of(args))


def repeats_of(args):
    """--repeats, if it was given: each benchmark has its own default."""
    return {"repeats": args.repeats} if args.repeats else {}


#: What is measured with a config.
OF_A_CONFIG = {
    "loader": measure_loader,
    "iteration": measure_iteration,
    "step": measure_step,
    "scene": measure_scene,
    "export": measure_exports,
}
#: Side of the scene that is mapped, px: minutes for ViT-B.
SCENE_PX = {"cpu": 1024, "cuda": 6144, "quick": 256}
BENCHMARKS = ("backbone", "train-step", "sweep", "memory", "gpu", "compile", "evaluation", "cold-start", "loader", "scene")


def measure(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    import torch

    from imrsf_d2.engine.torchrun import check_one_process
    from imrsf_d2.utils.errors import InputError

    check_one_process("tools/benchmark.py")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device is cuda, but torch finds no GPU here: leave it out to measure on the CPU.")
    from imrsf_d2.utils.atomic import write_text
    from imrsf_d2.utils.console import show_progress
    from projects.benchmarks.suite import describe_run, run_benchmark

    about = describe_run()
    print(". ".join(about.values()) + ".\n", flush=True)
    show_progress()  # beside the tables
    results = []
    for what in BENCHMARKS if args.what == "all" else [args.what]:
        of_a_config = OF_A_CONFIG.get(what)
        for result in of_a_config(args) if of_a_config else run_benchmark(what, args.quick, args.repeats, args.device):
            results.append(result.as_json())
            print(result.as_markdown() + "\n", flush=True)
    if args.json:
        write_text(args.json, json.dumps({**about, "results": results}, indent=1))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*BENCHMARKS, "iteration", "step", "export", "all"], help="what to measure")
    parser.add_argument("--quick", action="store_true", help="use a tiny model, to see that the benchmark works")
    parser.add_argument(
        "--repeats", type=int, metavar="N", help="repetitions of each measurement (default: depends on the benchmark)"
    )
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        default="cpu",
        help="where the model runs (default: cpu, which the targets are for; `gpu` measures a GPU in any case)",
    )
    parser.add_argument("--json", metavar="FILE", help="also write all values to this file")
    parser.add_argument(
        "--config-file",
        default=str(CONFIGS / "dfc2023_instance.yaml"),
        metavar="F",
        help="loader, iteration, step, scene, export: config",
    )
    parser.add_argument(
        "--size", type=int, default=512, metavar="S", help="loader, iteration, step, export: side of the tiles in pixels"
    )
    parser.add_argument("--tiles", type=int, default=32, metavar="N", help="loader, iteration, step: number of tiles")
    parser.add_argument(
        "--output", default="output/benchmark", metavar="DIR", help="loader, iteration, step: folder for the tiles"
    )
    parser.add_argument(
        "--scene", type=int, metavar="S", help="scene: its side in pixels (default: 1024 on a CPU, 6144 on a GPU)"
    )
    parser.add_argument("--batch-size", type=int, default=4, metavar="N", help="scene: windows at a time (default: 4)")
    parser.add_argument("--num-workers", type=int, metavar="N", help="scene: processes (default: as `imrsf predict`)")
    parser.add_argument(
        "opts", nargs="*", metavar="KEY VALUE", help="loader, iteration, step, scene, export: changes to the config"
    )
    args = parser.parse_intermixed_args(argv)  # options may follow what is to be measured
    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: measure(args))


if __name__ == "__main__":
    sys.exit(main())

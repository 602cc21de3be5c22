"""Export a trained model as a graph for images of one size: ONNX, or PyTorch's own format."""

from imrsf_d2.commands.parsing import add_config, add_overrides, command_parser

EXAMPLES = """
Examples:

One graph for any subset of the sensors, whose input `validity` says what is there:
    $ python tools/export_model.py --config-file configs/dfc2023_instance.yaml --output model.onnx --size 256 \\
        MODEL.WEIGHTS output/instance/model_final.pth

A smaller and faster graph for two of them, with Mask2Former's post-processing:
    $ python tools/export_model.py --config-file configs/dfc2023_instance.yaml --output rgb+dsm.onnx --size 256 \\
        --subset rgb+dsm --outputs instances MODEL.WEIGHTS output/instance/model_final.pth

The feature maps alone, to be loaded by torch.export.load:
    $ python tools/export_model.py --config-file configs/dfc2023_instance.yaml --output maps.pt2 --size 256x512 \\
        --part backbone MODEL.WEIGHTS output/instance/model_final.pth

Each file is compared with the model before it takes its place; the worst differences are printed. Writing .onnx needs
the extra packages of `pip install 'imrsf_d2[export]'`.
"""


def parse(argv):
    parser = command_parser("export", __doc__, EXAMPLES)
    add_config(parser, "config of the model")
    parser.add_argument("--output", required=True, metavar="FILE", help="file to write: .onnx or .pt2")
    parser.add_argument(
        "--size", metavar="HxW", help="size of the images, px: 256 or 256x512 (default: the config's training crop)"
    )
    parser.add_argument(
        "--subset",
        metavar="A+B",
        help="the sensors that are always there, e.g. rgb+dsm (default: one graph for any of them, with validity as input)",
    )
    parser.add_argument("--part", choices=["model", "backbone"], default="model", help="default: the whole model")
    parser.add_argument(
        "--outputs",
        choices=["raw", "instances", "probabilities"],
        default="raw",
        help="of the whole model: logits of queries and masks; masks, scores and classes of objects; or probabilities of the "
        "classes of each pixel (default: raw)",
    )
    parser.add_argument("--opset", type=int, default=20, metavar="N", help="of an .onnx file (default: 20)")
    add_overrides(parser, "changes to the config, among them MODEL.WEIGHTS")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)  # before anything heavy is loaded: --help is quick
    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: export(args))


def export(args):
    size = read_size(args.size)
    from imrsf_d2.compat.upstream import prepare

    prepare()
    from imrsf_d2.engine.configuration import load_config
    from imrsf_d2.engine.model_export import export_model
    from imrsf_d2.utils.errors import counted

    cfg = load_config(args.config_file, ["MODEL.DEVICE", "cpu", *args.opts], need_data=False)
    exported = export_model(
        cfg,
        args.output,
        size=size,
        subset=None if args.subset is None else args.subset.split("+"),
        part=args.part,
        outputs=args.outputs,
        opset=args.opset,
    )
    for name, shape in exported.inputs.items():
        print(f"Input {name}: {shape}")
    if exported.cases:
        images = counted(len(exported.cases), "image")
        print(f"Differences from the model, the worst of {images} ({', '.join(exported.cases)}):")
    else:
        print("Not compared with the model: onnxruntime is not installed (pip install 'imrsf_d2[export]').")
    for name, difference in exported.differences.items():
        print(f"  {name}: {difference}")
    print(f"Written: {exported.path}")


def read_size(text):
    """ "256" -> (256, 256), "256x512" -> (256, 512)."""
    from imrsf_d2.utils.errors import InputError

    if text is None:
        return None
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise InputError(f"--size is {text!r}, expected the height and width in pixels, e.g. 256 or 256x512.")
    return int(sides[0]), int(sides[-1])

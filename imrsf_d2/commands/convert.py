"""Turn the weights of a ViT that was trained elsewhere into weights to start from (MODEL.WEIGHTS)."""

from imrsf_d2.commands.parsing import add_config, command_parser

EXAMPLES = """
Examples:

MultiMAE's pre-training, for the three sensors of the DFC2023:
    $ python tools/convert_checkpoint.py --from multimae multimae-b.pth multimae-dfc2023.pth \\
        --config-file configs/dfc2023_instance.yaml
    $ python tools/train_net.py --config-file configs/dfc2023_instance.yaml MODEL.WEIGHTS multimae-dfc2023.pth

A ViT-S of timm, for a config with another encoder:
    $ python tools/convert_checkpoint.py --from timm model.safetensors vit_s.pth --config-file \\
        configs/dfc2023_semantic.yaml MODEL.IMRSF.EMBED_DIM 384 MODEL.IMRSF.NUM_HEADS 6

A table says which tensor became which parameter, and what is initialized at random.
"""
SOURCES = {
    "mae": "facebookresearch/mae, with or without the decoder",
    "multimae": "EPFL-VILAB/MultiMAE",
    "timm": "a VisionTransformer of timm",
    "vit": "torchvision's VisionTransformer or Hugging Face's ViT",
}


def parse(argv):
    parser = command_parser("convert", __doc__, EXAMPLES)
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        choices=list(SOURCES),
        help="; ".join(f"{name}: {what}" for name, what in SOURCES.items()),
    )
    parser.add_argument("input", metavar="IN", help="the weights to convert: .pth, .pt, .bin, .pyth or .safetensors")
    parser.add_argument("output", metavar="OUT", help="file to write: .pth or .safetensors")
    add_config(parser, "config of the model that will start from them")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="changes to the config")
    return parser.parse_intermixed_args(argv)  # --config-file may stand between OUT and the first KEY


def convert(args):
    from imrsf_d2.compat.upstream import prepare

    prepare()
    import torch

    from imrsf_d2.checkpoint.conversion import convert_file
    from imrsf_d2.engine.configuration import load_config
    from imrsf_d2.modeling import build_imrsf_vit_backbone

    cfg = load_config(args.config_file, args.opts, need_data=False)
    with torch.device("meta"):  # only shapes are needed
        encoder = build_imrsf_vit_backbone(cfg)
    print(convert_file(args.source, args.input, args.output, encoder))
    print(f"Written: {args.output}")


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)  # before anything heavy is loaded: --help is quick
    from imrsf_d2.utils.errors import exit_code

    return exit_code(lambda: convert(args))

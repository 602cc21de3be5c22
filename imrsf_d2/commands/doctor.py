"""Print what is installed and whether it works; exit with 1, naming the remedy, if something is missing or broken.

Example:
    python tools/check_env.py
"""

from imrsf_d2.commands.parsing import command_parser


def main(argv: list[str] | None = None) -> int:
    command_parser("doctor", __doc__).parse_args(argv)
    from imrsf_d2.compat.environment import examine

    report = examine()
    print(report)
    return 0 if report.ok else 1

"""Print what is installed and whether it works; exit with 1, naming the remedy, if something is missing or broken.

Example:
    python tools/check_env.py
"""

from imrsf_d2.commands.parsing import command_parser


def main(argv: list[str] | None = None) -> int:
    command_parser("doctor", __doc__).parse_args(argv)
    from imrsf_d2.utils.errors import exit_code

    return exit_code(report)


def report() -> int:
    from imrsf_d2.compat.environment import examine
    from imrsf_d2.utils.command_names import as_called

    found = examine()
    print(as_called(str(found)))
    return 0 if found.ok else 1

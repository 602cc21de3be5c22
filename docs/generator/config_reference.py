"""The configuration reference, read from imrsf_d2/config.py, which stays the only place that says what a key means.

The module is parsed, not imported, so that building the site needs neither PyTorch nor Detectron2.
"""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from dataclasses import dataclass

__all__ = ["Key", "Section", "config_markdown", "read_keys"]

INTRODUCTION = """# Configuration reference

Every key that imrsf_d2 adds to a Detectron2 config, with its default. Keys of Detectron2 itself (`SOLVER`, `DATALOADER`, ...)
and of Mask2Former (`MODEL.MASK_FORMER`, ...) keep their meaning. A config file, or KEY VALUE pairs at the end of a
command, change them; a misspelled key is an error. This page is made from `imrsf_d2/config.py`.
"""
#: What stands for a config node that has no default of its own.
NODE = "CN()"


@dataclass(frozen=True)
class Key:
    """A key of the config: its full name, its default as Python writes it, and what it means."""

    name: str
    default: str
    meaning: tuple[str, ...]  # lines of the comment; those of an indented list keep their indentation


@dataclass(frozen=True)
class Section:
    """Keys under one heading of config.py."""

    title: str
    keys: tuple[Key, ...]


def read_keys(source: str) -> list[Section]:
    """The keys that `add_imrsf_config` adds.

    Args:
        source: the text of imrsf_d2/config.py.

    Returns:
        Its sections in order.

    Raises:
        ValueError: if a key has no comment that says what it means, or a statement is no assignment of a key.
    """
    lines = source.splitlines()
    (function,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == "add_imrsf_config")
    names = {"cfg": ""}  # a variable -> the node that it stands for
    sections: list[tuple[str, list[Key]]] = []
    meaning: tuple[str, ...] = ()
    line = function.body[0].end_lineno  # of the docstring; comments are looked for after it
    for statement in function.body[1:]:
        comment = _comment(lines[line : statement.lineno - 1])
        line = statement.end_lineno
        if comment.heading:
            sections.append((comment.heading, []))
        if comment.ends_group or comment.text:
            meaning = comment.text
        if isinstance(statement, ast.Expr) and "register_renamed_key(" in ast.unparse(statement):
            continue  # the key of an earlier version, which is refused
        if not isinstance(statement, ast.Assign):
            raise ValueError(f"line {statement.lineno}: expected an assignment of a key, found {ast.unparse(statement)!r}")
        default = ast.unparse(statement.value)
        for target in statement.targets:
            if isinstance(target, ast.Attribute):
                name = _full_name(target, names)
        for target in statement.targets:
            if isinstance(target, ast.Name):
                names[target.id] = name
        if default == NODE:
            continue
        if not meaning:
            raise ValueError(f"line {statement.lineno}: {name} has no comment that says what it means")
        sections[-1][1].append(Key(name, default, meaning))
    return [Section(title, tuple(keys)) for title, keys in sections]


@dataclass(frozen=True)
class _Comment:
    heading: str
    text: tuple[str, ...]
    ends_group: bool  # a blank line or a heading: what stood above says nothing about the next key


def _comment(lines: list[str]) -> _Comment:
    heading, text, ends_group = "", [], False
    for line in lines:
        stripped = line.strip()
        if found := re.fullmatch(r"# -+ (.+?) -+", stripped):
            heading, text, ends_group = found[1], [], True
        elif not stripped:
            text, ends_group = [], True
        else:
            text.append(stripped.removeprefix("#").removeprefix(" "))
    return _Comment(heading, tuple(text), ends_group)


def _full_name(target: ast.Attribute, names: dict[str, str]) -> str:
    above = target.value
    prefix = names[above.id] if isinstance(above, ast.Name) else _full_name(above, names)
    return f"{prefix}.{target.attr}".lstrip(".")


def config_markdown(source: str) -> str:
    """The reference as a page.

    Args:
        source: the text of imrsf_d2/config.py.
    """
    parts = [INTRODUCTION]
    for section in read_keys(source):
        parts.append(f"## {section.title[0].upper()}{section.title[1:]}\n")
        for meaning, keys in itertools.groupby(section.keys, key=lambda key: key.meaning):
            terms = [f"`{key.name}` = `{key.default}` {{ #{key.name.lower()} }}" for key in keys]
            parts.append("\n".join(terms) + "\n" + textwrap.indent(_prose(meaning), "    ").replace("   ", ":  ", 1) + "\n")
    return "\n".join(parts)


def _prose(lines: tuple[str, ...]) -> str:
    """A comment as Markdown: names of keys as code, an indented table of values as a list."""
    paragraphs: list[str] = []
    in_list = False
    for line in lines:
        if line.startswith("  "):
            value, _, meaning = line.strip().partition("  ")
            paragraphs.append(f"{'' if in_list else chr(10)}- `{value}`: {_code(meaning.strip())}")
            in_list = True
        else:
            paragraphs.append(_code(line))
    return "\n".join(paragraphs)


def _code(text: str) -> str:
    keys = r"\b[A-Z][A-Z_]*(?:\.[A-Z_]+)+\b|\b[A-Z]{2,}_[A-Z_]+\b"
    modules = r"\bimrsf_d2(?:\.\w+)+"
    return re.sub(rf"{keys}|{modules}|\"[a-z_0-9]+\"", lambda found: f"`{found[0]}`", text)

"""What the numbers in a label map stand for: a class index, or no label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imrsf_d2.geo.codes import NO_CLASS, CodeCounts, look_up
from imrsf_d2.utils.errors import InputError

__all__ = ["IGNORE_LABEL", "LabelCodes", "UnknownCodesError"]

#: Pixels of unknown class: not scored, and in training in no class's mask (see docs/paper.md).
IGNORE_LABEL = 255


class UnknownCodesError(InputError):
    """Codes in a label map that stand for nothing; `found` is these codes."""

    def __init__(self, message: str, found: CodeCounts):
        super().__init__(message, found)  # both, so that it travels between processes
        self.message, self.found = message, found

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class LabelCodes:
    """What each code in the label maps of a dataset stands for.

    Args:
        codes: code -> class index (0 to 254), or IGNORE_LABEL for pixels that are not labeled.

    Raises:
        ValueError: if a code is no whole number, or a class index is out of range.
    """

    codes: Mapping[int, int]

    def __post_init__(self) -> None:
        # Plain numbers of its own: NumPy's cannot be written as JSON, and a caller's mapping may change.
        object.__setattr__(self, "codes", {_plain(code): _plain(index) for code, index in self.codes.items()})
        for code, index in self.codes.items():
            if not _is_whole(code):
                raise InputError(f"the label code {code!r} is no whole number.")
            if not _is_whole(index) or not 0 <= index <= IGNORE_LABEL:
                raise InputError(
                    f"the label code {code} stands for {index!r}, expected a class index from 0 to {IGNORE_LABEL - 1}, or "
                    f"{IGNORE_LABEL} for 'not labeled'."
                )

    @classmethod
    def of(cls, classes: Mapping[str, Sequence[int]], unlabeled: Iterable[int] = ()) -> LabelCodes:
        """The codes of some classes.

        Args:
            classes: name -> its codes, in the order of the class indices.
            unlabeled: codes of pixels that are not labeled.

        Raises:
            ValueError: if a code stands for two things.
        """
        meanings: dict[int, tuple[int, str]] = {}
        rows = [(index, repr(name), codes) for index, (name, codes) in enumerate(classes.items())]
        for index, meaning, codes in [*rows, (IGNORE_LABEL, "'not labeled'", list(unlabeled))]:
            for code in codes:
                if code in meanings:
                    raise InputError(
                        f"the label code {code} stands for {meanings[code][1]} and for {meaning}, expected one meaning."
                    )
                meanings[code] = index, meaning
        return cls({code: index for code, (index, _) in meanings.items()})

    @classmethod
    def indices(cls, num_classes: int) -> LabelCodes:
        """Class indices as they are, and IGNORE_LABEL."""
        return cls({index: index for index in (*range(num_classes), IGNORE_LABEL)})

    def apply(self, band: np.ndarray, valid: np.ndarray, where: str) -> np.ndarray:
        """The class indices of a label map.

        Args:
            band: [H, W] codes, of any data type of real numbers.
            valid: [H, W] bool, False where nothing is labeled, whatever `band` holds.
            where: the label map, for messages.

        Returns:
            [H, W] uint8 class indices, IGNORE_LABEL where the class is unknown.

        Raises:
            UnknownCodesError: if it has codes that stand for nothing; lists all of them with their share of the pixels.
            ValueError: if it holds complex numbers.
        """
        if band.dtype.kind == "c":
            raise InputError(f"{where} holds complex numbers, expected {self}.")
        classes = look_up(band, self.codes)
        unknown = (classes == NO_CLASS) & valid
        if unknown.any():
            found = CodeCounts.of(band[unknown], band.size)
            raise UnknownCodesError(self.problem(f"{where} holds", found), found)
        return np.where(valid, classes, IGNORE_LABEL).astype(np.uint8)

    def problem(self, who: str, found: CodeCounts) -> str:
        """The message about codes that stand for nothing.

        Args:
            who: a label map, or several of them, and a verb: "the label map a.tif holds".
            found: these codes.
        """
        return (
            f"{who} {found}, expected {self}. CODES and UNLABELED of a dataset.yaml say which numbers stand for a "
            "class and which for 'not labeled'."
        )

    def __str__(self) -> str:
        known = [code for code in sorted(self.codes) if self.codes[code] != IGNORE_LABEL]
        unlabeled = [code for code in sorted(self.codes) if self.codes[code] == IGNORE_LABEL]
        text = ", ".join(map(str, known))
        if known and known == list(range(len(known))) and all(self.codes[code] == code for code in known):
            text = f"class indices from 0 to {known[-1]}"
        return text + (f", or {', '.join(map(str, unlabeled))} where nothing is labeled" if unlabeled else "")


def _plain(number: object) -> object:
    return number.item() if isinstance(number, np.generic) else number


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)

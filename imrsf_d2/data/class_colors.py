"""Colors of classes that have none of their own: natural ones by name, distinct ones otherwise.

Where Dynamic World has a color for a kind of land cover, it is taken: so labels and a Dynamic World map show the same class in
the same color.
"""

from __future__ import annotations

import colorsys
import itertools
import re
from collections.abc import Collection, Iterator, Sequence

import numpy as np

__all__ = ["RGB", "class_color", "class_colors"]

#: Red, green and blue, 0 to 255.
RGB = tuple[int, int, int]

#: What a name says -> its color; the first pattern that is found counts. A name is in lower case, its words apart by blanks.
_NATURAL: tuple[tuple[str, RGB], ...] = (
    (r"^(background|others?|rest|unknown|unclassified|none|no data)$|^(no|not|non) \w+( \w+)?$", (235, 235, 235)),
    (r"\bshadow", (84, 78, 104)),
    (r"\bcloud", (203, 214, 236)),
    (r"\bmangrove", (0, 207, 117)),  # ESA WorldCover
    (r"\b(wetland|marsh|swamp|bog|peat|flooded vegetation|tidal flat|intertidal|saline)", (122, 135, 198)),
    (r"\bsnow|\bice\b|\bglacier", (179, 159, 225)),
    (r"\bgreen\b.*\burban|\burban\b.*\bgreen\b|\bparks?\b|\bgarden|\bleisure|\bsports?\b", (140, 220, 0)),
    (
        r"\b(road|rail|street|highway|path|pavement|paved|sidewalk|parking|asphalt|runway|airport|impervious)",
        (110, 110, 120),
    ),
    (r"\btree|forest|\bwood|\bhigh vegetation|\bconifer|\bbroad ?lea|\bdeciduous", (57, 125, 73)),
    (r"\b(crop|cultivat|arable|agricult|farm|field|vineyard|orchard|olive|rice|paddy|plantation|irrigated)", (228, 150, 53)),
    (r"\b(grass|pasture|meadow|lawn|rangeland|herbaceous|low vegetation)", (136, 176, 83)),
    (r"\b(shrub|scrub|bush|heath|moor|hedge|sclerophyll|savanna)", (223, 195, 90)),
    (r"water|\b(river|lake|ocean|pond|reservoir|flood|lagoon|estuar|canal|stream)|\bsea\b", (65, 155, 223)),
    (
        r"\b(built|build|urban|house|housing|roof|residential|industr|commercial|settlement|artificial|construction|greenhouse"
        r"|city|town|port|dump)",
        (196, 40, 27),
    ),
    (r"\b(bare|barren|soil|sand|rock|desert|beach|dune|spars|mine|mineral|quarry|gravel|open space)", (165, 155, 143)),
    (r"\b(moss|lichen)", (250, 230, 160)),  # ESA WorldCover
    (r"\b(burn|fire|ash)", (82, 40, 36)),
    (r"vegetat", (112, 190, 96)),
    (r"^(dry )?land$", (214, 201, 166)),
)
#: For names that say nothing, far from all of the above.
_FURTHER: tuple[RGB, ...] = (
    (170, 70, 200),
    (255, 190, 40),
    (0, 170, 165),
    (240, 110, 185),
    (30, 60, 150),
    (140, 85, 45),
    (130, 235, 220),
    (120, 20, 85),
    (235, 235, 90),
    (75, 85, 20),
)
#: How far apart two colors of a palette are at least (see `_distances`): the first of these that leaves a choice, of which
#: shades of a natural color need FAR.
_APART, _FAR = (80, 60, 45, 30, 15, 1), 30
#: Candidates for a class whose name says nothing; more than a label map has classes.
_CANDIDATES = 512


def class_color(name: str, index: int) -> RGB:
    """The color of one class by itself: natural if its name says what it is, else one of several distinct ones.

    Args:
        name: of the class.
        index: of the class, from 0; where the name says nothing, classes of different indices differ in color.
    """
    return _natural(name) or next(itertools.islice(_further(), index, None))


def class_colors(names: Sequence[str], given: Sequence[Sequence[int] | None] = ()) -> tuple[RGB, ...]:
    """The colors of all classes of a map, no two of them alike.

    Of several classes of one kind ("forest", "mixed forest"), the one with the shortest name has the kind's color, and the
    others have lighter and darker ones.

    Args:
        names: of the classes, in the order of their indices.
        given: colors that some classes have already, which stay; None where they have none. Empty: none has.
    """
    colors = dict(enumerate((color[0], color[1], color[2]) if color else None for color in given))
    found: dict[int, RGB] = {i: color for i, color in colors.items() if color is not None}
    # Those that stand for a kind come before its shades, and these before colors that mean nothing. "trees" stands for trees
    # rather than "fruit trees".
    order = sorted(set(range(len(names))) - set(found), key=lambda i: (len(names[i].split()), i))
    natural = {i: color for i in order if (color := _natural(names[i])) is not None}
    for i, color in natural.items():
        found |= {i: color} if _nearest([color], found.values()).min() >= _FAR else {}
    for i, color in natural.items():
        if i not in found and (shade := _choose(_shades(color), found.values(), _FAR)) is not None:
            found[i] = shade
    further = list(itertools.islice(_further(), _CANDIDATES))
    for i in range(len(names)):
        if i not in found and (color := _choose(further, found.values())) is not None:
            found[i] = color
    return tuple(found[i] for i in range(len(names)))


def _natural(name: str) -> RGB | None:
    words = " ".join(re.findall(r"[^\W_]+", name.casefold()))
    return next((color for pattern, color in _NATURAL if re.search(pattern, words)), None)


def _further() -> Iterator[RGB]:
    """Colors without end that differ from each other, the most distinct ones first."""
    yield from _FURTHER
    for i in itertools.count():
        # Hues at multiples of the golden ratio never meet.
        hue, lightness, saturation = (i * 0.618034) % 1, (0.45, 0.7, 0.3)[i % 3], (0.75, 0.5)[i % 2]
        red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
        yield round(255 * red), round(255 * green), round(255 * blue)


def _shades(color: RGB) -> list[RGB]:
    """Lighter and darker ones, and between them some of a slightly other hue."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(value / 255 for value in color))
    shades = []
    for turn, factor in itertools.product((0, 0.04, -0.04), (1.3, 0.7, 1.5, 0.5, 1.15, 0.85)):
        shade = colorsys.hls_to_rgb((hue + turn) % 1, min(lightness * factor, 0.9), saturation)
        shades.append((round(255 * shade[0]), round(255 * shade[1]), round(255 * shade[2])))
    return shades


def _choose(candidates: Sequence[RGB], taken: Collection[RGB], least: float = 1) -> RGB | None:
    """The first candidate that is far enough from all colors taken, by the largest distance that leaves one; None if none of
    at least `least` does."""
    nearest = _nearest(candidates, taken)
    for apart in _APART:
        if apart >= least and (nearest >= apart).any():
            return candidates[int(np.argmax(nearest >= apart))]
    return None


def _nearest(colors: Sequence[RGB], taken: Collection[RGB]) -> np.ndarray:
    """How different each of some colors looks from the most similar one taken, [n], 0 to 765 (the "redmean" approximation)."""
    if not taken:
        return np.full(len(colors), np.inf)
    first, second = np.array(colors, dtype=float)[:, None], np.array(list(taken), dtype=float)[None]
    red = (first[..., 0] + second[..., 0]) / 2 / 256
    weights = np.stack([2 + red, np.full_like(red, 4), 3 - red], axis=-1)
    return np.sqrt((weights * (first - second) ** 2).sum(axis=-1)).min(axis=1)

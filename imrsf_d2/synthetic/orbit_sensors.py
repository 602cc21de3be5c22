"""Four sources image a landscape at 10 m: Sentinel-1, Sentinel-2, a height model, and a Dynamic World map."""

import cv2
import numpy as np

from imrsf_d2.geo.decibel import from_db
from imrsf_d2.synthetic.landscape import (
    CANOPY,
    CLASSES,
    COVERS,
    CROP,
    GRASS,
    OPEN_WATER,
    PAVED,
    PIXEL_M,
    ROADS,
    ROOF,
    Landscape,
)
from imrsf_d2.synthetic.landscape_style import OrbitStyle
from imrsf_d2.synthetic.scene import smooth_noise

#: Reflectance x 10000 in blue, green, red, near infrared: crops by stage, the others between or among several.
ASPHALT = np.array((1000, 1080, 1130, 1400), np.float32)
ROOFS = np.array([(800, 1000, 1550, 1950), (1300, 1380, 1430, 1650), (2100, 2200, 2250, 2500)], np.float32)
STAGES = np.array(
    [
        (880, 1120, 1420, 1900),
        (650, 950, 900, 2500),
        (400, 740, 460, 3700),
        (900, 1280, 1550, 2600),
        (1150, 1450, 1750, 2400),
    ],
    np.float32,
)
GRASSES = np.array([(440, 780, 540, 3350), (850, 1180, 1350, 2400)], np.float32)
TREES = np.array([(260, 420, 300, 2100), (360, 600, 420, 3100)], np.float32)
WATERS = np.array([(450, 480, 330, 180), (800, 1000, 850, 480)], np.float32)
HAZE = np.array((2300, 2150, 2050, 2400), np.float32)
#: Backscatter in dB in VV, VH: roofs, paved ground, grass and canopy; crops by stage; calm and rough water.
ROOF_DB, PAVED_DB, GRASS_DB, CANOPY_DB = (-3.5, -11.0), (-12.0, -20.5), (-12.3, -19.0), (-9.5, -15.0)
STAGES_DB = np.array([(-11.5, -20.0), (-12.3, -18.3), (-10.8, -15.6), (-11.2, -16.6), (-12.4, -18.8)], np.float32)
WATERS_DB = np.array([(-20.0, -27.0), (-13.0, -22.5)], np.float32)
#: Dynamic World: water, trees, grass, flooded vegetation, crops, shrub and scrub, built, bare, snow and ice.
DNW_CLASSES = 9


def render_s1(rng: np.random.Generator, land: Landscape, style: OrbitStyle) -> np.ndarray:
    """Speckled backscatter: bright walls, water dark unless there is wind, crops by their volume.

    Returns:
        [2, S, S] float32, VV and VH, linear power above 0.
    """
    shape, count = land.label.shape, len(land.patch_class)
    palette = np.empty((len(COVERS), count, 2), np.float32)
    for cover, decibel in ((ROOF, ROOF_DB), (PAVED, PAVED_DB), (GRASS, GRASS_DB), (CANOPY, CANOPY_DB)):
        palette[cover] = decibel
    palette[CROP] = STAGES_DB[land.stage]
    palette[OPEN_WATER] = WATERS_DB[int(rng.random() < style.s1_windy)]
    # Half of the variance between patches is common to both polarizations.
    alike = style.s1_spread_db / np.sqrt(2)
    palette += rng.normal(0, alike, (count, 2)) + rng.normal(0, alike, (count, 1))
    palette[ROOF] += rng.normal(0, style.s1_roof_spread_db, (count, 1))
    decibel = palette[land.cover, land.patch]
    # Right-looking on ascending or descending passes: seen from the west or from the east.
    towards_east = np.gradient(land.height_m, PIXEL_M, axis=1) * rng.choice([-1, 1])
    decibel += np.clip(style.s1_slope_db * towards_east, -3, 3)[..., None]
    power = cv2.GaussianBlur(from_db(decibel), (0, 0), style.s1_blur_px) + from_db(style.s1_floor_db)
    power *= rng.gamma(style.s1_looks, 1 / style.s1_looks, (*shape, 2))
    return np.moveaxis(np.maximum(power, 1e-6), -1, 0).astype(np.float32)


def render_s2(rng: np.random.Generator, land: Landscape, style: OrbitStyle) -> np.ndarray:
    """Reflectance: crops at any stage, grass from fresh to yellow, roofs of any color, haze.

    Returns:
        [4, S, S] uint16, blue, green, red, near infrared x 10000; at least 1.
    """
    shape, count = land.label.shape, len(land.patch_class)
    palette = np.empty((len(COVERS), count, 4), np.float32)
    palette[PAVED] = ASPHALT
    palette[CROP] = STAGES[land.stage]
    palette[GRASS] = _between(GRASSES, land.dryness)
    palette[ROOF] = ROOFS[rng.integers(len(ROOFS), size=count)]
    palette[CANOPY] = _between(TREES, rng.random(count))
    palette[OPEN_WATER] = _between(WATERS, rng.random(count))
    spread = rng.normal(0, style.s2_spread, (count, 1)) + rng.normal(0, style.s2_color_spread, (count, 4))
    image = (palette * np.exp(spread))[land.cover, land.patch]
    texture = rng.standard_normal(shape) * 0.7 + smooth_noise(rng, shape[0], 3) * 0.5
    image *= np.exp(style.s2_noise * (texture[..., None] + 0.4 * rng.standard_normal(image.shape)))
    image = cv2.GaussianBlur(image, (0, 0), style.s2_blur_px)
    haze = np.clip(rng.uniform(*style.s2_haze) * (1 + 0.3 * smooth_noise(rng, shape[0], 60)), 0, 1)[..., None]
    image = image * (1 - haze) + haze * HAZE
    return np.moveaxis(np.clip(np.rint(image), 1, 10000), -1, 0).astype(np.uint16)


def _between(ends: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colors [P, bands] from the first (0) to the second (1) of two, for shares [P]."""
    return ends[0] + share[:, None].astype(np.float32) * (ends[1] - ends[0])


def render_dem(rng: np.random.Generator, land: Landscape, style: OrbitStyle) -> np.ndarray:
    """Heights [S, S] float32, meters above sea level, with errors a few pixels wide."""
    size = len(land.height_m)
    errors = 0.8 * smooth_noise(rng, size, 6) + 0.4 * rng.standard_normal((size, size))
    return (land.height_m + style.dem_noise_m * errors).astype(np.float32)


def render_dnw(rng: np.random.Generator, land: Landscape, style: OrbitStyle) -> np.ndarray:
    """A map [S, S] uint8 of the nine Dynamic World classes: with whole patches wrong, thin objects lost, loose outlines."""
    confusion = np.zeros((len(CLASSES), DNW_CLASSES))
    for name, shares in style.dnw_confusion:
        confusion[CLASSES.index(name), [target for target, _ in shares]] = [share for _, share in shares]
    below = np.cumsum(confusion, axis=1)[land.patch_class, :-1]
    given = (rng.random((len(below), 1)) > below).sum(1)[land.patch]
    weight = np.where(land.label == ROADS, style.dnw_road_weight, 1.0)
    votes = np.full((DNW_CLASSES, *weight.shape), -np.inf)
    for target in np.unique(given):
        vote = cv2.GaussianBlur(weight * (given == target), (0, 0), style.dnw_blur_px)
        vote += style.dnw_noise * smooth_noise(rng, len(weight), 4)
        # Noise moves outlines, but creates no class that is not nearby.
        near = cv2.dilate((given == target).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        votes[target, near] = vote[near]
    return votes.argmax(0).astype(np.uint8)


def beyond_edge(rng: np.random.Generator, size: int, share: tuple[float, float]) -> np.ndarray:
    """True [S, S] on one side of an oblique line, on a share of the tile within `share` (least, most)."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size]
    along = x * np.cos(angle) + y * np.sin(angle)
    return along > np.quantile(along, 1 - rng.uniform(*share))


def blobs(rng: np.random.Generator, size: int, scale_px: float, share: tuple[float, float]) -> np.ndarray:
    """True [S, S] in round spots of about `scale_px`, on a share of the tile within `share` (least, most)."""
    field = smooth_noise(rng, size, scale_px) + 0.25 * smooth_noise(rng, size, scale_px / 4)
    return field > np.quantile(field, 1 - rng.uniform(*share))


def add_clouds(rng: np.random.Generator, image: np.ndarray, share: tuple[float, float]) -> np.ndarray:
    """Hide part of an image [4, S, S] behind clouds: 0 where a cloud mask would be, brighter around it."""
    size = image.shape[1]
    hidden = blobs(rng, size, max(size / 4, 16), share)
    veil = cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), 4)[None] * 0.6
    veiled = image * (1 - veil) + veil * 2.5 * HAZE[:, None, None]
    return np.where(hidden, 0, np.clip(np.rint(veiled), 1, 10000)).astype(np.uint16)

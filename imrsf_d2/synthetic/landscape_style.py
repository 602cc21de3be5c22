"""Every number that decides how hard the synthetic quadruplets are: what each sensor cannot see on its own.

The defaults are tuned so that a small model needs all sensors; `tests/synthetic/test_land_cover_tiles.py` says what is
promised. Lengths are in meters (`_m`) or pixels of 10 m (`_px`); shares are probabilities; `_every` means one tile in that
many, and 0 none. The periods are coprime to each other and to the number of training cities, so that no city gets more
gaps than another.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class LandscapeStyle:
    """The landscape before any sensor images it.

    Attributes:
        block_px, parcel_px: typical side of a block between roads, and of a parcel of one class within it.
        elongation: (least, most) length over width of a parcel.
        wobble_px: how far parcel edges stray from straight lines.
        mapping_unit_px: smaller patches are merged into a neighbor (0.25 ha, as in Urban Atlas); roads are not.
        valley_px: distance between valleys.
        wet: share of tiles whose valley holds a river or a lake.
        water_level: (least, most) height up to which such a valley is flooded, in units of the hills; log-uniform.
        affinity: per class, the weights of (constant, urbanity, height, slope) in a parcel's score for that class.
        gregarious: how much parcels of a class cluster (standard deviation of a smooth field per class).
        whim: how much the class of a parcel is left to chance (scale of Gumbel noise).
        lanes: share of the edges between blocks that are roads; main_roads: share of those that are wide.
        streets: share of the edges between parcels of a town that are roads.
        motorways: share of tiles crossed by one.
        mixes: per class, the shares of its covers: roof, paved, grass, crop, canopy, water.
        purity: the higher, the more alike are parcels of a class (concentration of a Dirichlet distribution).
        stages: concentrations of the shares of fields that are bare, sprouting, green, ripe, stubble; drawn per tile.
    """

    block_px: float = 38.0
    parcel_px: float = 15.0
    elongation: tuple[float, float] = (1.0, 1.8)
    wobble_px: float = 1.5
    mapping_unit_px: int = 25
    valley_px: float = 70.0
    wet: float = 0.75
    water_level: tuple[float, float] = (0.06, 0.5)
    affinity: tuple[tuple[str, tuple[float, float, float, float]], ...] = (
        ("urban fabric", (-0.3, 2.4, -0.2, -0.5)),
        ("green urban", (0.2, 1.0, 0.0, 0.0)),
        ("cropland", (1.6, -0.9, -0.5, -1.0)),
        ("pastures", (0.4, -0.7, 0.0, 0.6)),
        ("trees", (-0.45, -0.7, 0.8, 1.0)),
    )
    gregarious: float = 0.9
    whim: float = 0.5
    lanes: float = 0.6
    main_roads: float = 0.3
    streets: float = 0.35
    motorways: float = 0.3
    mixes: tuple[tuple[str, tuple[float, float, float, float, float, float]], ...] = (
        ("urban fabric", (0.45, 0.27, 0.14, 0.0, 0.14, 0.0)),
        ("green urban", (0.13, 0.07, 0.46, 0.0, 0.34, 0.0)),
        ("roads", (0.0, 0.84, 0.10, 0.0, 0.06, 0.0)),
        ("cropland", (0.0, 0.01, 0.02, 0.95, 0.02, 0.0)),
        ("pastures", (0.005, 0.005, 0.92, 0.0, 0.07, 0.0)),
        ("trees", (0.0, 0.01, 0.06, 0.0, 0.93, 0.0)),
        ("water", (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)),
    )
    purity: float = 9.0
    stages: tuple[float, float, float, float, float] = (1.2, 1.0, 2.0, 1.2, 0.8)


@dataclass(frozen=True)
class OrbitStyle:
    """What each sensor does to the landscape.

    Attributes:
        s1_looks: looks averaged; speckle is gamma distributed with this shape.
        s1_blur_px: sigma of the resolution, which is coarser than the pixels.
        s1_spread_db: standard deviation between patches of one cover.
        s1_roof_spread_db: the same for roofs, whose walls may or may not face the sensor.
        s1_windy: share of tiles whose water is rough.
        s1_slope_db: change on a slope of one meter per meter that faces the sensor.
        s1_floor_db: noise floor.
        s2_blur_px: sigma of the optical point spread function.
        s2_spread: standard deviation of the logarithm of brightness between patches of one cover.
        s2_color_spread: the same, for each band independently.
        s2_noise: standard deviation of the texture and noise of pixels, relative.
        s2_haze: (least, most) share of contrast lost to the atmosphere.
        dem_noise_m: standard deviation of the height errors, a few pixels wide.
        dnw_confusion: per class, the Dynamic World classes that a whole patch may be mapped as, with their shares.
        dnw_road_weight: weight of a road pixel relative to a pixel of the land beside it.
        dnw_blur_px: sigma of the smoothing, which thin objects do not survive.
        dnw_noise: how far outlines stray (standard deviation of the votes for a class).
        cloudy_every: tiles with clouds (no data in S2); cloud_share: (least, most) of the tile that they hide.
        swath_every, survey_every, gap_every, border_every: tiles at the edge of a Sentinel-1 swath, at the edge of the
            DEM, with gaps in Dynamic World, and at the edge of the labels.
        edge_share, gap_share: (least, most) of the tile that lies beyond such an edge, or in such gaps.
        missing_every: tiles that lack one sensor's file, each sensor in turn.
    """

    s1_looks: float = 4.4
    s1_blur_px: float = 0.8
    s1_spread_db: float = 1.1
    s1_roof_spread_db: float = 2.5
    s1_windy: float = 0.35
    s1_slope_db: float = 12.0
    s1_floor_db: float = -26.0
    s2_blur_px: float = 0.6
    s2_spread: float = 0.16
    s2_color_spread: float = 0.06
    s2_noise: float = 0.07
    s2_haze: tuple[float, float] = (0.0, 0.3)
    dem_noise_m: float = 1.5
    dnw_confusion: tuple[tuple[str, tuple[tuple[int, float], ...]], ...] = (
        ("urban fabric", ((6, 0.86), (7, 0.06), (2, 0.04), (4, 0.04))),
        ("green urban", ((6, 0.36), (1, 0.28), (2, 0.28), (5, 0.08))),
        ("roads", ((6, 1.0),)),
        ("cropland", ((4, 0.66), (2, 0.14), (7, 0.08), (5, 0.08), (6, 0.04))),
        ("pastures", ((2, 0.58), (4, 0.22), (5, 0.14), (1, 0.04), (3, 0.02))),
        ("trees", ((1, 0.80), (5, 0.12), (2, 0.06), (3, 0.02))),
        ("water", ((0, 0.92), (3, 0.06), (7, 0.02))),
    )
    dnw_road_weight: float = 0.2
    dnw_blur_px: float = 1.5
    dnw_noise: float = 0.12
    cloudy_every: int = 7
    cloud_share: tuple[float, float] = (0.1, 0.6)
    swath_every: int = 13
    survey_every: int = 17
    gap_every: int = 9
    gap_share: tuple[float, float] = (0.01, 0.08)
    border_every: int = 11
    edge_share: tuple[float, float] = (0.1, 0.5)
    missing_every: int = 41

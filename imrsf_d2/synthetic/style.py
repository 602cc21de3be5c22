"""Every number that decides how hard the synthetic DFC2023 is: what each sensor cannot see on its own.

The defaults are tuned so that a small model needs all sensors; `tests/synthetic/test_building_tiles.py` says what is
promised. Lengths are in meters (`_m`) or pixels of 0.5 m (`_px`); rates and shares are probabilities.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneStyle:
    """The scene before any sensor images it.

    Attributes:
        buildings: (least, most) buildings asked for per 128 x 128 px of ground.
        side_px: (least, most) side of an ordinary building; sides are drawn log-uniformly.
        shapes: (kind, share) of the outlines; kinds as in `building_shapes.KINDS`, and "row" for 2 to 4 terraced houses.
        off_axis: share of buildings that are not aligned with the streets.
        pitched: share of gabled or hipped roofs, whose slopes are shaded in RGB; the others are flat.
        height_m: (least, most) building height; `height_median_m` and `height_spread` give the log-normal between.
        unsurveyed: share of buildings that the nDSM lacks (height 0 there; RGB and SAR see them).
        camouflage: share of roofs with the color of the ground around them, which RGB alone misses.
        row_same_height: share of terraced rows of one height, which the nDSM merges into one block.
        decoys: (least, most) flat slabs, courts and parking lots per 128 x 128 px, shaped like buildings, height 0.
        decoy_roof_color: share of decoys painted with a roof color (the rest: asphalt, court and soil colors).
        decoy_ridge: share of decoys in two tones like the two slopes of a gabled roof.
        decoy_rim: share of decoys with a dark strip along the side where a building's shadow would fall.
        decoy_marked: share of decoys with court or parking lines, which give them away.
        trees: (least, most) free-standing trees per 128 x 128 px.
        groves: (least, most) dense tree groups with the outline and height of a building per 128 x 128 px.
        tree_height_m: (least, most) tree height.
        overhang: share of buildings with a tree leaning over the edge.
        roads: most roads per 128 px of tile side.
        visible_px: a building is kept only if at least this many of its pixels lie inside the tile.
    """

    buildings: tuple[float, float] = (3.0, 9.0)
    side_px: tuple[float, float] = (15.0, 38.0)
    shapes: tuple[tuple[str, float], ...] = (
        ("rectangle", 0.33),
        ("l", 0.14),
        ("t", 0.07),
        ("u", 0.07),
        ("courtyard", 0.07),
        ("round", 0.10),
        ("parts", 0.06),
        ("row", 0.16),
    )
    off_axis: float = 0.15
    pitched: float = 0.45
    height_m: tuple[float, float] = (2.5, 60.0)
    height_median_m: float = 7.0
    height_spread: float = 0.5
    unsurveyed: float = 0.072
    camouflage: float = 0.12
    row_same_height: float = 0.7
    decoys: tuple[float, float] = (0.5, 3.0)
    decoy_roof_color: float = 0.65
    decoy_ridge: float = 0.35
    decoy_rim: float = 0.5
    decoy_marked: float = 0.25
    trees: tuple[float, float] = (4.0, 14.0)
    groves: tuple[float, float] = (2.0, 5.0)
    tree_height_m: tuple[float, float] = (3.0, 14.0)
    overhang: float = 0.3
    roads: float = 1.0
    visible_px: int = 150


@dataclass(frozen=True)
class SensorStyle:
    """What each sensor does to the scene.

    Attributes:
        rgb_blur_px: sigma of the optical point spread function (1.5 times as much in GF2 tiles).
        rgb_noise: standard deviation of the sensor noise, in gray levels.
        rgb_texture: strength of the surface texture, relative to the surface's brightness.
        shadow: (least, most) share of the light that a cast shadow takes away; low on hazy days.
        haze: (least, most) share of contrast lost to the atmosphere.
        sar_cell_px: the SAR resolution cell; speckle is drawn per cell.
        sar_looks: looks averaged; the speckle of a cell is gamma distributed with this shape.
        sar_shift_px: largest misregistration of SAR against the labels, each axis.
        sar_incidence_deg: (least, most) incidence angle; the smaller, the farther roofs are laid over.
        sar_wall: strength of the double bounce at walls that face the sensor, linear power.
        sar_wall_spread: how much it varies between buildings (sigma of a log-normal factor).
        sar_roof: backscatter of roofs, linear power; smooth roofs reflect the pulse away (ground: 0.17).
        sar_volume: backscatter of tree crowns, linear power.
        sar_range: (least, most) linear power; values beyond are clipped.
        dsm_cell_px: the cell over which the height model averages.
        dsm_warp_px: standard deviation of the displacement of its edges (matching errors).
        dsm_noise_m: standard deviation of its height noise on objects; the ground is exactly 0.
        dsm_floor_m: objects lower than this are removed as ground.
        nodata_every: one tile in this many has an all-black RGB corner (no data).
    """

    rgb_blur_px: float = 0.7
    rgb_noise: float = 3.0
    rgb_texture: float = 0.10
    shadow: tuple[float, float] = (0.25, 0.7)
    haze: tuple[float, float] = (0.0, 0.25)
    sar_cell_px: int = 4
    sar_looks: float = 6.0
    sar_shift_px: float = 2.0
    sar_incidence_deg: tuple[float, float] = (45.0, 58.0)
    sar_wall: float = 1.0
    sar_roof: float = 0.08
    sar_wall_spread: float = 0.8
    sar_volume: float = 0.32
    sar_range: tuple[float, float] = (0.03, 11.9)
    dsm_cell_px: int = 4
    dsm_warp_px: float = 1.8
    dsm_noise_m: float = 1.0
    dsm_floor_m: float = 1.5
    nodata_every: int = 100

"""The twelve cities of the synthetic quadruplets, and what sets the landscapes around them apart."""

from dataclasses import dataclass

from imrsf_d2.synthetic.cities import Place


@dataclass(frozen=True)
class Region(Place):
    """A city whose surrounding landscape is drawn.

    Attributes:
        ground_m, relief_m: height of the valleys above sea level, and typical height of the hills above them.
        urban, wooded: added to how likely a parcel is built up or a forest; 0 leaves it.
        dry: share of the year in which grass is yellow.
    """

    ground_m: float
    relief_m: float
    urban: float
    wooded: float
    dry: float


TRAIN_REGIONS = {
    "Lyon": Region(45.7600, 4.8400, 170, 70, 0.2, 0.0, 0.30),
    "Nantes": Region(47.2200, -1.5500, 10, 25, 0.0, -0.1, 0.25),
    "Toulouse": Region(43.6000, 1.4400, 140, 45, 0.1, -0.2, 0.40),
    "Rennes": Region(48.1100, -1.6800, 35, 30, -0.1, 0.0, 0.20),
    "Grenoble": Region(45.1900, 5.7200, 215, 130, 0.0, 0.3, 0.25),
    "Lille": Region(50.6300, 3.0600, 20, 20, 0.2, -0.2, 0.15),
    "Melbourne": Region(-37.8100, 144.9600, 15, 40, 0.1, 0.0, 0.45),
    "Brisbane": Region(-27.4700, 153.0200, 10, 60, 0.1, 0.2, 0.40),
    "Perth": Region(-31.9500, 115.8600, 10, 35, 0.1, -0.1, 0.60),
    "Canberra": Region(-35.2800, 149.1300, 560, 90, -0.2, 0.1, 0.50),
}
VAL_REGIONS = {
    "Bordeaux": Region(44.8400, -0.5800, 10, 35, 0.1, 0.1, 0.30),
    "Adelaide": Region(-34.9300, 138.6000, 50, 70, 0.0, 0.0, 0.50),
}

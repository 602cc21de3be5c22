"""Places on Earth for synthetic tiles, and the eleven labeled DFC2023 cities with what sets their scenes apart."""

from dataclasses import dataclass

from rasterio.warp import transform

from imrsf_d2.geo.projections import utm_zone


@dataclass(frozen=True)
class Place:
    """Where the tiles of a city lie.

    Attributes:
        lat, lon: a point in the city, degrees WGS84; tiles are laid out from there to the south-east.
    """

    lat: float
    lon: float

    @property
    def epsg(self) -> int:
        """The EPSG code of its UTM zone (WGS84)."""
        return utm_zone(self.lon, self.lat)

    @property
    def position_m(self) -> tuple[float, float]:
        """Meters east and north in its UTM zone."""
        (x,), (y,) = transform("EPSG:4326", f"EPSG:{self.epsg}", [self.lon], [self.lat])
        return x, y


@dataclass(frozen=True)
class City(Place):
    """A city whose buildings are drawn.

    Attributes:
        density, greenery: factors on the number of buildings and of trees.
        warm: share of the roofs that are tiles or brick.
        dry: share of the open ground that is soil or dry grass.
    """

    density: float
    greenery: float
    warm: float
    dry: float


CITIES = {
    "Berlin": City(52.5200, 13.4050, 1.0, 1.2, 0.45, 0.25),
    "Brasilia": City(-15.7900, -47.8900, 0.9, 0.9, 0.45, 0.55),
    "Portsmouth": City(50.8000, -1.0900, 1.1, 1.0, 0.45, 0.25),
    "NewDelhi": City(28.6400, 77.2200, 1.2, 0.9, 0.25, 0.60),
    "NewYork": City(40.7100, -73.9500, 1.2, 0.7, 0.25, 0.30),
    "SanDiego": City(32.7200, -117.1600, 1.0, 0.8, 0.45, 0.60),
    "Barcelona": City(41.3900, 2.1700, 1.2, 0.7, 0.60, 0.45),
    "SaoLuis": City(-2.5500, -44.2600, 1.0, 1.1, 0.60, 0.50),
    "Copenhagen": City(55.6800, 12.5700, 1.0, 1.0, 0.50, 0.25),
    "Rio": City(-22.9000, -43.2300, 1.1, 1.1, 0.45, 0.45),
    "Sydney": City(-33.8800, 151.2000, 1.0, 1.0, 0.50, 0.40),
}

from __future__ import annotations

from tiergate.model import Caps, Draws, Feature, FeatureType
from tiergate.sidecar.usage_dependence import UsageDependence

FEATURES = {
    feature.id: feature
    for feature in (
        Feature(id="credits", type=FeatureType.QUANTITY),
        Feature(id="calls", type=FeatureType.QUANTITY, draws=Draws("credits", 3), caps=Caps(total=9)),
        Feature(id="images", type=FeatureType.QUANTITY, draws=Draws("credits", 1)),
        Feature(id="seats", type=FeatureType.QUANTITY),
    )
}


def test_usage_affects_the_features_that_draw_on_it() -> None:
    """What draws affects its source only if that is said to be used too."""
    dependence = UsageDependence(FEATURES)

    assert set(dependence.affected_by(["credits"])) == {"credits", "calls", "images"}
    assert set(dependence.affected_by(["calls", "seats"])) == {"calls", "seats"}


def test_a_cap_for_everybody_makes_the_usage_of_one_that_of_all() -> None:
    """A cap per user does not."""
    assert UsageDependence(FEATURES).capped == {"calls"}

"""Verdicts follow from the numbers, in both directions."""

import numpy as np
import pytest

from projects.study.claims import compare, judge, judge_claims
from projects.study.scores import AcrossSeeds, ModelScores
from tests.projects.study.fabricated import PAPER_MULTIVIT, PAPER_PROPOSED, SUBSETS, rows, scores


def verdicts(proposed, baseline):
    return [judgment.verdict for judgment in judge_claims(proposed, baseline)]


def shifted(values, *shifts):
    return scores(*(np.add(values, shift) for shift in shifts))


def test_means_and_deviations_are_numpys():
    runs = np.random.default_rng(0).uniform(0.1, 0.9, (3, 7))
    model = scores(*runs)
    for column, subset in enumerate(SUBSETS):
        assert model.subset(subset).mean == pytest.approx(runs[:, column].mean())
        assert model.subset(subset).deviation == pytest.approx(runs[:, column].std(ddof=1))
    assert model.complete == model.subset(SUBSETS[0])
    assert model.incomplete.deviation == pytest.approx(runs[:, 1:].mean(axis=1).std(ddof=1))
    assert model.retention.mean == pytest.approx((runs[:, 1:].mean(axis=1) / runs[:, 0]).mean())


def test_a_single_run_has_no_deviation():
    assert (scores(PAPER_PROPOSED).complete.deviation, str(scores(PAPER_PROPOSED).complete)) == (None, "0.333")
    assert str(AcrossSeeds((0.1, 0.3))) == "0.200 ± 0.141"


def test_a_model_that_finds_nothing_has_no_retention():
    assert str(scores([0.0] * 7).retention) == "n/a"


def test_runs_on_other_subsets_are_refused():
    with pytest.raises(ValueError, match="expected the same in each"):
        ModelScores([rows(PAPER_PROPOSED), rows(PAPER_PROPOSED)[:6]])


@pytest.mark.parametrize(
    "margin, spread, verdict",
    [
        (0.2, 0.1, "holds"),
        (0.0, 0.0, "holds"),
        (0.19, 0.1, "holds, but not clearly"),
        (-0.19, 0.1, "does not hold, but not clearly"),
        (-0.2, 0.1, "does not hold"),
        (0.2, None, "holds (single runs, spread unknown)"),
        (-0.2, None, "does not hold (single runs, spread unknown)"),
    ],
)
def test_a_verdict_is_the_sign_and_whether_it_is_clear(margin, spread, verdict):
    assert judge(margin, spread) == verdict


def test_the_spread_of_a_difference():
    three, four, single = AcrossSeeds((0.0, 0.06 * 2**0.5)), AcrossSeeds((0.0, 0.08 * 2**0.5)), AcrossSeeds((0.5,))
    assert (three.deviation, four.deviation) == (pytest.approx(0.06), pytest.approx(0.08))
    assert compare(three, four)[1] == pytest.approx(0.1)
    assert compare(three, four, factor=2.0) == (pytest.approx(three.mean - 2 * four.mean), pytest.approx(0.0292**0.5))
    assert compare(three, single)[1] == compare(single, three)[1] == pytest.approx(0.06 * 2**0.5)
    assert compare(single, single) == (0.0, None)


def test_the_papers_own_numbers_support_its_claims():
    assert verdicts(shifted(PAPER_PROPOSED, 0, 0.001, -0.001), shifted(PAPER_MULTIVIT, 0, 0.0005)) == ["holds"] * 3
    assert verdicts(scores(PAPER_PROPOSED), scores(PAPER_MULTIVIT))[0] == "holds (single runs, spread unknown)"


def test_with_the_models_exchanged_nothing_holds():
    exchanged = verdicts(shifted(PAPER_MULTIVIT, 0, 0.0005), shifted(PAPER_PROPOSED, 0, 0.001, -0.001))
    assert exchanged == ["does not hold"] * 3


def test_twice_is_twice():
    baseline = shifted([0.5] + [0.2] * 6, 0, 0.001)
    for level, verdict in ((0.41, "holds"), (0.39, "does not hold")):
        assert verdicts(shifted([0.5] + [level] * 6, 0, 0.001), baseline)[1] == verdict
    assert "1.9" in judge_claims(shifted([0.5] + [0.39] * 6, 0, 0.001), baseline)[1].finding


def test_a_baseline_that_finds_nothing():
    judgments = judge_claims(scores(PAPER_PROPOSED), scores([0.1] + [0.0] * 6))
    assert "against 0.000, while MultiViT finds nothing" in judgments[1].finding
    assert (judgments[2].verdict, judgments[2].finding) == ("holds", "MultiViT collapses on all 6 of them")


def test_a_collapse_counts_only_where_the_baseline_stands():
    healthy = [0.5] + [0.3] * 6
    collapsed = [0.5, 0.3, 0.3, 0.3, 0.02, 0.3, 0.3]
    found = judge_claims(shifted(collapsed, 0, 0.001), shifted(healthy, 0, 0.001))[2]
    assert (found.verdict, found.finding) == ("does not hold", "it collapses on SAR")
    assert verdicts(shifted(collapsed, 0, 0.001), shifted(collapsed, 0, 0.001))[2] == "holds"
    # A tenth of its own complete score, not of the other model's.
    assert verdicts(shifted([0.15] + [0.02] * 6, 0, 0.0001), shifted(healthy, 0, 0.001))[2] == "holds"

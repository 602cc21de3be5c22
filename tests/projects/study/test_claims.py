"""Scores, standard errors and verdicts follow from the numbers, in both directions."""

import math

import numpy as np
import pytest

from projects.study.claims import standard_error, verdict
from projects.study.paper import study_claims
from projects.study.plan import LONGER, MODELS
from projects.study.pretraining import pretraining_claims
from projects.study.scores import AcrossSeeds, ModelScores
from projects.study.starts import STARTS
from tests.projects.study.fabricated import PAPER_MULTIVIT, PAPER_PROPOSED, SUBSETS, outcomes, rows, scores, three


def verdicts(proposed, baseline):
    """Of each claim by AP50, given the scores of three runs of each model."""
    found = study_claims(outcomes({"proposed": proposed, "multivit": baseline}))
    return [[row[-1] for row in rows if row[0].endswith("AP50") or "collapses" in row[0]][0] for _, rows in found[:3]]


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
    with pytest.raises(ValueError, match="the same ones in every run"):
        ModelScores([rows(PAPER_PROPOSED), rows(PAPER_PROPOSED)[:6]])


def test_the_standard_error_of_a_difference():
    """Two runs a distance d apart have the standard deviation d / sqrt(2), so their mean has the standard error d / 2."""
    two, others, single = AcrossSeeds((0.0, 0.06)), AcrossSeeds((0.0, 0.08)), AcrossSeeds((0.5,))
    assert standard_error(two, others) == pytest.approx(0.05)
    assert standard_error(two, others.scaled(2)) == pytest.approx(math.hypot(0.03, 0.08))
    # The single run deviates like the others: variance s^2 / 2 + s^2 / 1 with s = 0.06 / sqrt(2).
    assert standard_error(two, single) == standard_error(single, two) == pytest.approx((1.5 * 0.06**2 / 2) ** 0.5)
    assert standard_error(single, single) is None


@pytest.mark.parametrize(
    "difference, error, expected",
    [
        (0.31, 0.1, "holds"),
        (0.0, 0.0, "not clear"),
        (0.29, 0.1, "not clear"),
        (-0.29, 0.1, "not clear"),
        (-0.31, 0.1, "does not hold"),
        (0.3, None, "not clear"),
        (math.nan, 0.1, "not clear"),
    ],
)
def test_a_verdict_takes_three_standard_errors(difference, error, expected):
    assert verdict(difference, error) == expected


def test_the_papers_own_numbers_support_its_claims():
    assert verdicts(three(PAPER_PROPOSED, 0.001), three(PAPER_MULTIVIT, 0.0005)) == ["holds"] * 3


def test_with_the_models_exchanged_nothing_holds():
    assert verdicts(three(PAPER_MULTIVIT, 0.0005), three(PAPER_PROPOSED, 0.001)) == ["does not hold"] * 3


@pytest.mark.parametrize("level, expected", [(0.41, "holds"), (0.39, "does not hold")])
def test_twice_is_twice(level, expected):
    assert verdicts(three([0.5] + [level] * 6, 0.001), three([0.5] + [0.2] * 6, 0.001))[1] == expected


def test_a_collapse_counts_only_where_the_baseline_stands():
    healthy, collapsed = [0.5] + [0.3] * 6, [0.5, 0.3, 0.3, 0.3, 0.02, 0.3, 0.3]
    assert verdicts(three(collapsed, 0.001), three(healthy, 0.001))[2] == "does not hold"
    assert verdicts(three(collapsed, 0.001), three(collapsed, 0.001))[2] == "holds"
    # A tenth of its own score on complete input, not of the other model's.
    assert verdicts(three([0.15] + [0.02] * 6, 0.0001), three(healthy, 0.001))[2] == "holds"
    assert verdicts(three(healthy, 0.001), three([0.1] + [0.0] * 6, 0))[2] == "holds"  # the baseline collapses on all


def test_the_numbers_of_the_third_claim():
    """Scores are 0.04 and a limit of 0.05; run by run they differ by -0.01 and 0.9 times the shift of the run."""
    found = study_claims(outcomes({"proposed": three([0.5, 0.3, 0.3, 0.3, 0.04, 0.3, 0.3]), "multivit": three([0.5] * 7)}))
    row = found[2][1][0]
    assert row[1:4] == ["0.040 ± 0.010", "0.050 ± 0.001", "-0.010 ± 0.005"] and "SAR vs." in row[0]


def test_claims_are_repeated_for_exact_masks_and_longer_training():
    runs = outcomes({"proposed": three([0.6] * 7), "multivit": three([0.5] * 7)})
    longer = outcomes({"proposed_longer": [[0.7] * 7], "multivit_longer": [[0.6] * 7]}, LONGER)
    assert [len(rows) for _, rows in study_claims(runs)] == [2, 2, 2, 4]
    found = study_claims({**runs, **longer})
    assert [len(rows) for _, rows in found] == [4, 4, 4, 4]
    assert found[0][1][3][1:] == ["0.350", "0.300", "+0.050", "not clear"]  # AP is half of AP50; single runs


def test_every_ablation_is_compared():
    runs = outcomes({model.name: three([0.6 - 0.1 * i] * 7)[: len(model.seeds)] for i, model in enumerate(MODELS)})
    rows = study_claims(runs)[3][1]
    assert len(rows) == 4 * 2 * 2 and {row[-1] for row in rows} == {"holds"}
    # Three runs against one: variances s^2 / 3 + s^2 with s = 0.01.
    assert rows[4][3] == "+0.200 ± 0.012"


def test_claims_about_pretraining():
    """G helps on complete input and does nothing for the rest; G & C hurts there; freezing is a single run."""
    runs = outcomes(
        {
            "scratch": three([0.3] + [0.2] * 6),
            "finetune_g": three([0.4] + [0.21] * 6),
            "finetune_gc": three([0.31] + [0.1] * 6),
            "finetune_g_longer": three([0.5] + [0.21] * 6),
            "partial": three([0.25] + [0.15] * 6)[:1],
        },
        STARTS,
    )
    helps, contrast, more, slow = ([row for row in rows if row[0].endswith("AP50")] for _, rows in pretraining_claims(runs))
    # Of G, of G & C, and of the only one of the variants that was trained, the longer one.
    assert [row[-1] for row in helps] == ["holds", "not clear", "not clear", "does not hold", "holds", "not clear"]
    assert helps[0][1:4] == ["0.400 ± 0.010", "0.300 ± 0.010", "+0.100 ± 0.008"]
    assert [row[3] for row in contrast] == ["-0.090 ± 0.008", "-0.110 ± 0.008"]
    assert [row[-1] for row in more] == ["holds", "not clear"]
    assert len(slow) == 4  # nothing was trained at a tenth of the rate


def test_without_the_runs_there_is_nothing_to_say():
    runs = outcomes({"proposed": three([0.6] * 7)})
    assert [rows for _, rows in study_claims(runs)] == [[], [], [], []]
    assert [rows for _, rows in pretraining_claims({})] == [[], [], [], []]

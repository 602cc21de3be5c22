"""The short version of the fuzz run (`python -m tests.fuzz`), and its own claims."""

import pytest

from tests.fuzz.runner import BAD, _describe, run_cases

CASES = 400


@pytest.mark.slow
def test_no_damaged_or_odd_input_gives_a_wrong_number_or_a_traceback():
    bad = [outcome for outcome in run_cases(list(range(CASES)), seed=0) if outcome.result in BAD]
    assert not bad, "\n".join(f"{o.number} ({o.target}, {o.kind}): {o.result}\n{o.detail}" for o in bad)


def test_a_case_is_a_function_of_seed_and_number():
    assert [_describe(n, 3) for n in range(20)] == [_describe(n, 3) for n in range(20)]
    assert [_describe(n, 3) for n in range(20)] != [_describe(n, 4) for n in range(20)]

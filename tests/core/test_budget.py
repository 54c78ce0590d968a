"""The one door: prices, refusals, and budgets that do not multiply."""

import copy
import math
import pickle
import signal
import traceback
from fractions import Fraction

import numpy as np
import pytest
from sklearn.base import clone

import dpstruct as dps
from dpstruct.core.hooks import _noise_source

TREE = dps.KDETree(bounds=dps.Box(0, 1, dim=2), depth=3)
SUMMARY = TREE.summarize(np.full((10, 2), 0.25))
NOT_NUMBERS = [math.nan, math.inf, -1, 0, -0.0, 5e-324, True, "1", None, 1j, [1]]


class Loud:
    """A noise source that fails."""

    def draw(self, line, kind, scales, shape):
        raise KeyboardInterrupt


def gdp(**terms):
    return dps.Budget(**({"epsilon": 2.0, "delta": 1e-6, "neighbors": "add-remove"} | terms))


@pytest.mark.parametrize("bad", NOT_NUMBERS)
def test_a_budget_of_no_number_is_refused(bad):
    with pytest.raises(dps.InvalidParameter):
        dps.Budget(epsilon=bad, delta=1e-6, neighbors="add-remove")
    if not (isinstance(bad, int | float) and bad == 0):
        with pytest.raises(dps.InvalidParameter):
            dps.Budget(epsilon=1.0, delta=bad, neighbors="add-remove")


@pytest.mark.parametrize("delta", [1e-16, 0.11, 1.0])
def test_a_delta_out_of_range_is_refused(delta):
    with pytest.raises(dps.InvalidParameter):
        gdp(delta=delta)


@pytest.mark.parametrize("bad", [*[b for b in NOT_NUMBERS if b is not None], 1e400, 1e9])
def test_a_price_of_no_number_is_refused_and_charges_nothing(bad):
    budget = gdp()
    for option in ("epsilon", "share", "cost"):
        with pytest.raises((dps.InvalidParameter, dps.BudgetExceeded)):
            budget.release(SUMMARY, **{option: bad})
    assert budget.spent == 0
    assert budget.log() == []


def test_exactly_one_price_is_stated():
    with pytest.raises(dps.InvalidParameter, match="exactly one"):
        gdp().release(SUMMARY)
    with pytest.raises(dps.InvalidParameter, match="exactly one"):
        gdp().release(SUMMARY, epsilon=1, share=0.5)


def test_the_relation_has_no_default_and_is_named():
    with pytest.raises(TypeError):
        dps.Budget(epsilon=1.0)
    with pytest.raises(dps.InvalidParameter, match="add-remove"):
        gdp(neighbors="swap")


@pytest.mark.parametrize("terms", [{"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 1.0}])
@pytest.mark.parametrize("share", [0.2, 0.1, Fraction(1, 7)])
def test_shares_add_up_to_the_whole_and_no_further(terms, share):
    budget = dps.Budget(**terms, neighbors="substitute")
    for _ in range(round(1 / share)):
        budget.release(SUMMARY, share=share)
    with pytest.raises(dps.BudgetExceeded):
        budget.release(SUMMARY, share=1e-4)
    assert budget.spent <= 1


def test_the_whole_budget_is_one_epsilon():
    budget = gdp()
    private = budget.release(SUMMARY, epsilon=2.0)
    assert private.receipt.charged == budget.total
    assert budget.remaining.units == 0
    with pytest.raises(dps.BudgetExceeded, match="nothing, the budget is spent"):
        budget.release(SUMMARY, epsilon=1e-3)


def test_epsilons_do_not_add_up_squares_of_mu_do():
    budget = gdp()
    budget.release(SUMMARY, epsilon=1.0)
    budget.release(SUMMARY, epsilon=1.0)
    spent = budget.total.units - budget.remaining.units
    assert spent == pytest.approx(2 * dps.GDP.from_approx_dp(1.0, 1e-6).units, rel=1e-12)
    assert budget.remaining.epsilon(1e-6) > 1.1  # two releases at epsilon 1 leave more than nothing of epsilon 2


@pytest.mark.parametrize("terms", [{"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 0.7}])
def test_what_remains_can_be_spent_and_rounds_down(terms):
    budget = dps.Budget(**terms, neighbors="substitute")
    budget.release(SUMMARY, share=1 / 3)
    left = budget.remaining
    assert left.units <= budget.total.units - sum(entry.cost.units for entry in budget.log())
    assert type(left)(left.floor) == left  # the printed figure itself fits
    budget.release(SUMMARY, cost=left)
    assert budget.spent == pytest.approx(1, abs=1e-12)


def test_a_pure_release_under_a_gaussian_budget_costs_its_mu():
    budget = gdp(epsilon=8.0)
    private = budget.release(SUMMARY, cost=dps.PureDP(0.5))
    assert {event.kind for event in private.receipt.events} == {"discrete-laplace"}
    assert private.receipt.cost == dps.PureDP(0.5)
    assert private.receipt.charged.mu == pytest.approx(0.623892592098508, rel=1e-12)
    assert private.receipt.charged.mu >= 0.623892592098508
    assert budget.log()[0].cost == private.receipt.charged


def test_a_pure_budget_pays_for_no_gaussian_noise():
    budget = dps.Budget(epsilon=1.0, neighbors="add-remove")
    for cost in (dps.GDP(0.1), dps.ApproxDP(0.1, 1e-6)):
        with pytest.raises(dps.InvalidParameter, match="PureDP"):
            budget.release(SUMMARY, cost=cost)
    assert budget.spent == 0


def test_a_refusal_says_what_was_asked_what_remains_and_what_would_fit():
    budget = gdp()
    budget.release(SUMMARY, share=0.75, label="visits 2026")
    with pytest.raises(dps.BudgetExceeded) as refusal:
        budget.release(SUMMARY, share=0.5)
    text = str(refusal.value)
    for part in (
        "nothing was charged",
        "0.5 of the total",
        "share=0.25",
        "1.414 times the noise",
        "visits 2026",
        "add-remove",
    ):
        assert part in text
    assert budget.spent == 0.75
    budget.release(SUMMARY, share=0.25)  # what would fit, fits


def test_preview_charges_nothing():
    budget = gdp()
    preview = budget.preview(share=0.25)
    assert preview.fits
    assert preview.remaining.units == budget.total.units - preview.cost.units
    assert budget.preview(dps.GDP(60)) == budget.preview(cost=dps.GDP(60))
    assert not budget.preview(dps.GDP(60)).fits
    assert budget.spent == 0


def test_only_a_summary_can_be_released():
    for bad in (TREE, np.zeros((3, 2)), None):
        with pytest.raises(dps.InvalidType, match="summarize"):
            gdp().release(bad, share=1)


def test_a_unit_that_the_blueprint_does_not_bound_is_refused():
    budget = gdp(unit="user")
    with pytest.raises(dps.NeighborsMismatch, match="user"):
        budget.release(SUMMARY, share=0.5)
    assert budget.spent == 0


def test_what_fails_after_the_charge_stays_charged():
    budget = gdp()
    token = _noise_source.set(Loud())
    try:
        with pytest.raises(KeyboardInterrupt):
            budget.release(SUMMARY, share=0.5, key="a")
    finally:
        _noise_source.reset(token)
    assert [entry.status for entry in budget.log()] == ["failed"]
    assert budget.spent == 0.5
    with pytest.raises(dps.LedgerError, match="never drawn again"):
        budget.release(SUMMARY, share=0.5, key="a")
    assert budget.spent == 0.5


def test_the_same_key_gives_the_same_release_once():
    budget = gdp()
    first = budget.release(SUMMARY, share=0.5, key="a")
    again = budget.release(
        TREE.summarize(np.ones((99, 2))), share=0.5, key="a"
    )  # the request is public; so is the answer
    assert first.receipt == again.receipt
    for name, array in first.transcript.items():
        np.testing.assert_array_equal(array, again.transcript[name])
    assert budget.spent == 0.5
    with pytest.raises(dps.LedgerError):
        budget.release(SUMMARY, share=0.25, key="a")


def test_without_a_key_every_release_has_noise_of_its_own():
    budget = gdp()
    one, two = (budget.release(SUMMARY, share=0.5) for _ in range(2))
    assert any((one.transcript[name] != two.transcript[name]).any() for name in one.transcript)


def test_a_ledger_refuses_injected_noise(tmp_path):
    budget = dps.Ledger(tmp_path / "l.db").budget("a", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    token = _noise_source.set(Loud())
    try:
        with pytest.raises(dps.PlanViolation, match="in memory"):
            budget.release(SUMMARY, share=0.5)
    finally:
        _noise_source.reset(token)
    assert budget.spent == 0


def test_budgets_do_not_multiply(tmp_path):
    memory = gdp()
    assert copy.copy(memory) is copy.deepcopy(memory) is clone(memory) is memory
    with pytest.raises(TypeError, match="Ledger"):
        pickle.dumps(memory)
    durable = dps.Ledger(tmp_path / "l.db").budget("a", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    assert clone(durable) is durable
    handle = pickle.loads(pickle.dumps(durable))
    handle.release(SUMMARY, share=0.5)
    assert durable.spent == 0.5


def test_a_handle_to_another_file_is_noticed(tmp_path):
    path = tmp_path / "l.db"
    handle = pickle.dumps(dps.Ledger(path).budget("a", epsilon=1.0, delta=1e-6, neighbors="add-remove"))
    for file in tmp_path.iterdir():
        file.unlink()
    dps.Ledger(path).budget("a", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    with pytest.raises(dps.LedgerError, match="another ledger"):
        pickle.loads(handle)


def test_every_printed_guarantee_names_relation_and_unit():
    budget = gdp(neighbors=dps.RowsWithin(0.1))
    private = budget.release(SUMMARY, share=0.5)
    for text in (budget.guarantee, repr(budget), private.receipt.guarantee, repr(private)):
        assert "rows-within 0.1" in text
        assert "unit row" in text


def test_the_price_stands_in_the_ledger_and_adds_up(tmp_path):
    ledger = dps.Ledger(tmp_path / "l.db")
    budget = ledger.budget("a", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    private = budget.release(SUMMARY, share=0.5, label="first")
    (entry,) = budget.log()
    assert (entry.uid, entry.cost, entry.label, entry.status) == (
        private.receipt.uid,
        private.receipt.cost,
        "first",
        "done",
    )
    assert sum(event.price() for event in private.receipt.events) <= entry.cost.units
    budget.verify()


def test_a_failure_leaves_no_trace_of_the_data_and_no_second_draw(tmp_path, monkeypatch):
    """Catches frames that hold exact sums, and an error that rides along when recording the failure fails too."""
    from dpstruct.core import door, files

    budget = dps.Ledger(tmp_path / "l.db").budget("a", epsilon=1.0, delta=1e-6, neighbors="add-remove")

    def decoder(*parts):
        raise RuntimeError("decoder")

    monkeypatch.setattr(files, "encode", decoder)
    with pytest.raises(RuntimeError) as failure:
        budget.release(SUMMARY, share=0.1, key="a")
    names = {frame.f_code.co_name for frame, _ in traceback.walk_tb(failure.value.__traceback__)}
    assert door.run.__name__ not in names
    assert "decoder" not in names
    assert failure.value.__context__ is None

    def locked(charge, reason):
        raise dps.LedgerError("locked")

    monkeypatch.setattr(budget._store, "fail", locked)
    with pytest.raises(dps.LedgerError, match="locked") as failure:
        budget.release(SUMMARY, share=0.1, key="b")
    assert failure.value.__context__ is None


def _fill_the_disk(store, monkeypatch):
    """Let the file grow no more from the second transaction of a release on."""
    finish = store.finish

    def full(charge, *, payload):
        connection = store._database._box[0]
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        return finish(charge, payload=payload)

    monkeypatch.setattr(store, "finish", full)


def _carried(error):
    """Return every local of every frame of the library that an error, its causes and its contexts carry."""
    seen, waiting = [], [error]
    while waiting:
        error = waiting.pop()
        waiting += [other for other in (error.__cause__, error.__context__) if other is not None]
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        seen += [item for frame in frames if "test_" not in frame.f_code.co_filename for item in frame.f_locals.items()]
    return seen


@pytest.mark.parametrize("trouble", ["full", "interrupt"])
def test_noise_that_could_not_be_recorded_is_not_carried_by_the_error(tmp_path, monkeypatch, trouble):
    """A retry draws again: were the first draw still to be seen, one charge would have bought two."""
    budget = dps.Ledger(tmp_path / "l.db").budget("a", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    summary = dps.KDETree(bounds=dps.Box(0, 1, dim=2), depth=10).summarize(np.full((10, 2), 0.5))
    if trouble == "full":
        _fill_the_disk(budget._store, monkeypatch)
    else:
        monkeypatch.setattr(budget._store, "_settle", lambda *arguments: signal.raise_signal(signal.SIGINT))
    with pytest.raises((dps.LedgerError, KeyboardInterrupt)) as failure:
        budget.release(summary, share=0.5, key="a")
    if trouble == "full":
        assert "the charge stands, nothing was released; a retry with the same key completes it" in str(failure.value)
    carried = _carried(failure.value)
    assert "charge" in dict(carried)
    for name, value in carried:
        assert not isinstance(value, bytes | np.ndarray), name
        assert name not in ("transcript", "payload", "work"), name
    monkeypatch.undo()
    budget._store.close()
    private = budget.release(summary, share=0.5, key="a")
    assert [entry.uid for entry in budget.log()] == [private.receipt.uid]
    assert budget.spent == 0.5
    budget.verify()


def test_of_two_draws_for_one_key_the_second_is_dropped(tmp_path, monkeypatch):
    """Another process may record first; whatever fails afterwards must not carry what was drawn here."""
    from dataclasses import replace

    budget = dps.Ledger(tmp_path / "l.db").budget("a", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    monkeypatch.setattr(
        budget._store, "finish", lambda charge, *, payload: replace(charge, status="done", payload=b"damaged")
    )
    with pytest.raises(dps.DPStructError) as failure:
        budget.release(SUMMARY, share=0.5, key="a")
    transcripts = [value for name, value in _carried(failure.value) if name == "transcript"]
    assert transcripts in ([], [None])


def test_a_refusal_of_a_pure_release_advises_no_factor():
    budget = gdp()
    with pytest.raises(dps.BudgetExceeded) as refusal:
        budget.release(SUMMARY, cost=dps.PureDP(5))
    assert "times the noise" not in str(refusal.value)


def test_a_small_pure_budget_has_room_for_itself():
    budget = dps.Budget(epsilon=1e-7, neighbors="add-remove")
    assert budget.remaining == budget.total


def test_injected_noise_can_not_leave_by_pickle():
    from dpstruct.testing import ZeroNoise

    with ZeroNoise():
        private = gdp().release(SUMMARY, share=1)
    for leave in (pickle.dumps, copy.deepcopy):
        with pytest.raises(dps.PlanViolation, match="injected"):
            leave(private)


def test_nothing_makes_a_transcript_writeable():
    private = gdp().release(SUMMARY, share=1)
    with pytest.raises(ValueError, match="WRITEABLE"):
        private.transcript["A"].setflags(write=True)


def test_an_amended_total_is_told_wherever_it_is_claimed(tmp_path):
    ledger = dps.Ledger(tmp_path / "l.db")
    budget = ledger.budget("a", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    before = budget.release(SUMMARY, share=0.5)
    ledger.amend("a", epsilon=3.0, who="board", why="one more year")
    after = budget.release(SUMMARY, share=0.1)
    for words in (budget.guarantee, repr(budget)):
        assert "(3, 1e-6)-DP" in words
        assert "amended from (1, 1e-6)-DP" in words
    assert (before.receipt.budget, after.receipt.budget) == ("a", "a (total amended)")
    after.save(tmp_path / "a.dps")
    assert dps.load(tmp_path / "a.dps").receipt == after.receipt


def test_what_remains_prints_as_a_number_that_fits():
    budget = gdp()
    budget.release(SUMMARY, share=1 / 3)
    shown = eval(repr(budget.remaining), {"GDP": dps.GDP})
    assert shown == budget.remaining
    budget.release(SUMMARY, cost=shown)

"""The pictures show the numbers that they were given."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from dpstruct.errors import InvalidParameter
from dpstruct.report import budget_bar, curve, histogram, scatter

TRUTH = np.array([100.0, 300.0, 200.0, 400.0])
ANSWER = np.array([110.0, 290.0, 205.0, 430.0])
SVG = "{http://www.w3.org/2000/svg}"

FIGURES = [
    scatter(TRUTH, ANSWER, 10.0, title="Answers"),
    curve(TRUTH, ANSWER, 10.0, title="Curve", x_label="place", y_label="sum", truth=TRUTH),
    curve([3.0], [0.0], 1.0, title="One point", x_label="place", y_label="sum"),
    histogram((ANSWER - TRUTH) / 10, title="Errors"),
    budget_bar([("first", 0.25), ("second", 0.1)]),
    budget_bar([]),
]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.title)
def test_pictures_are_named_and_load_nothing(figure):
    root = ET.fromstring(figure.svg)
    assert root.get("role") == "img"
    assert (root[0].tag, root[0].text) == (f"{SVG}title", figure.title)
    assert (root[1].tag, root[1].text) == (f"{SVG}desc", figure.description)
    assert "nan" not in figure.svg
    assert re.search(r"href|src=|url\(|@import|<script|http(?!://www\.w3\.org/2000/svg\")", figure.svg) is None
    assert {element.get("id") for element in root.iter()} == {None}  # two figures on one page can not collide


def circles(figure):
    groups = [g for g in ET.fromstring(figure.svg).iter(f"{SVG}g") if "dot" in g.get("class", "")]
    return [np.array([[float(c.get("cx")), float(c.get("cy"))] for c in g]) for g in groups]


def test_points_lie_where_their_values_are():
    upper, lower = circles(scatter(TRUTH, ANSWER, 10.0, title="Answers"))
    order = np.argsort(TRUTH)
    for points, heights in ((upper, ANSWER[order]), (lower, ((ANSWER - TRUTH) / 10)[order])):
        for column, values in ((0, TRUTH[order]), (1, -heights)):
            slope, intercept = np.polyfit(values, points[:, column], 1)
            assert slope > 0
            np.testing.assert_allclose(points[:, column], slope * values + intercept, atol=0.11)


def test_the_words_say_what_the_points_show():
    figure = scatter(TRUTH, ANSWER, 10.0, title="Answers")
    assert "4 private answers" in figure.description
    assert "75 % lie within two" in figure.description
    assert figure.table.rows[3] == ["400", "430", "10", "3"]


def test_an_outlier_stays_in_the_frame():
    _, lower = circles(scatter(TRUTH, TRUTH + np.array([0, 0, 0, 1e6]), 1.0, title="Answers"))
    assert lower[:, 1].min() >= 252


def test_many_points_are_thinned_but_all_are_counted():
    truth = np.arange(50_000.0)
    figure = scatter(truth, truth + 1, 1.0, title="Many")
    assert [len(points) for points in circles(figure)] == [2000, 2000]
    assert "50,000 private answers" in figure.description
    assert len(figure.html()) < 1_000_000


def test_every_score_is_in_one_bar():
    figure = histogram([-9.0, -0.1, 0.1, 0.2, 30.0], title="Errors")
    counts = {interval: int(count) for interval, count in figure.table.rows}
    assert sum(counts.values()) == 5
    assert counts["−4.00 to −3.50"] == counts["3.50 to 4.00"] == 1


def test_bars_have_the_area_of_a_density():
    scores = np.linspace(-3, 3, 1000)
    bars = list(ET.fromstring(histogram(scores, title="Errors").svg).iter(f"{SVG}g"))[-1]
    heights = np.array([float(bar.get("height")) for bar in bars])
    assert heights.sum() * 0.25 / 190 * 1.08 * 0.4 == pytest.approx(1, abs=0.01)


def test_the_budget_adds_up_exactly():
    figure = budget_bar([(f"release {k}", 0.1) for k in range(10)])
    assert "100.0 % of the budget is spent, 0.0 % is left" in figure.description
    widths = [
        float(r.get("width")) + 1 for r in ET.fromstring(figure.svg).iter(f"{SVG}rect") if r.get("height") == "26"
    ]
    assert sum(widths) == pytest.approx(400)
    assert len(figure.table.rows) == 11


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: scatter([1.0, 987654.25], [1.0, np.nan], 1.0, title=""), "answer"),
        (lambda: scatter([1.0, 987654.25], [1.0], 1.0, title=""), "answer"),
        (lambda: scatter([1.0], [1.0], 0.0, title=""), "error"),
        (lambda: curve([[1.0]], [1.0], 1.0, title="", x_label="", y_label=""), "x"),
        (lambda: histogram([], title=""), "scores"),
        (lambda: budget_bar([("a", 0.7), ("b", 0.4)]), "charges"),
        (lambda: budget_bar([("a", -0.1)]), "charges"),
        (lambda: budget_bar([("a", float("nan"))]), "charges"),
    ],
)
def test_unfit_values_are_refused_without_being_quoted(call, argument):
    with pytest.raises(InvalidParameter) as raised:
        call()
    assert raised.value.argument == argument
    assert "987654" not in str(raised.value)

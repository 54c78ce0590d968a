"""Pages and labels: complete, self-contained, escaped, the same bytes every time."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.errors import InvalidParameter
from dpstruct.report import Figure, Section, Table, budget_bar, curve, histogram, label, page, scatter

HOSTILE = "</title></style><script>alert('x')</script>\"&<b>'"
VOID = {"meta", "br", "rect", "circle", "path"}


class Reader(HTMLParser):
    """Checks that tags close in order and gathers what a browser would see."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words, self.headings = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def whole_page(word):
    values = np.array([1.0, 2.0, 4.0])
    figures = [
        scatter(values, values + 0.5, 1.0, title=word, quantity=word),
        curve(values, values, 1.0, title=word, x_label=word, y_label=word, truth=values),
        histogram(values, title=word),
        budget_bar([(word, 0.5)], title=word),
    ]
    table = Table([word, "number"], [[word, "1"]], caption=word)
    return page(
        word,
        lead=word,
        facts=[(word, word, word)],
        label=label(word, epsilon=1.0, delta=1e-6, neighbors="add-remove", unit=word, facts=[(word, word)]),
        sections=[Section(word, word, figures=figures, tables=[table], code=word)],
        footer=word,
    )


def test_every_string_is_escaped():
    harmless, hostile = read(whole_page("word")), read(whole_page(HOSTILE))
    assert hostile.tags == harmless.tags
    assert "script" not in hostile.tags
    assert "".join(hostile.words).count(HOSTILE) > 15  # shown as it is, once unescaped by the browser


def test_the_page_stands_alone():
    text = whole_page("word")
    names = {name for name, _ in read(text).attributes}
    assert names.isdisjoint({"src", "href", "srcset", "action", "style", "id"})
    assert not [name for name in names if name.startswith("on")]
    assert re.search(r"url\(|@import|http(?!://www\.w3\.org/2000/svg\")", text) is None
    assert text.startswith("<!DOCTYPE html>")


def test_the_page_can_be_heard():
    reader = read(whole_page("word"))
    assert reader.headings[0] == 1
    assert reader.headings.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in zip(reader.headings, reader.headings[1:], strict=False))
    assert ("lang", "en") in reader.attributes
    assert ("scope", "col") in reader.attributes
    assert ("scope", "row") in reader.attributes
    assert reader.tags.count("svg") == reader.tags.count("desc") == reader.tags.count("table") - 1


def test_same_arguments_same_bytes():
    assert whole_page("word").encode() == whole_page("word").encode()


def test_a_long_table_says_that_it_was_cut():
    html = Table(["k"], [[str(k)] for k in range(1000)]).html()
    assert html.count("<tr>") == 61
    assert "and 940 more rows" in html


def test_a_label_never_understates():
    facts = [("noise", "n " * 80)]
    text = label("Tree", epsilon=0.50001, delta=1.00004e-6, neighbors="substitute", unit="user", facts=facts).text
    assert max(len(line) for line in text.splitlines()) <= 78
    assert "neighbours: substitute, unit: user" in text
    assert "replacing one user by another multiplies" in " ".join(text.split())
    assert "ε = 0.5001, δ = 1.001e-6" in text
    assert "at most 1.649, plus at most 1.001e-6" in " ".join(text.split())


def test_a_pure_label_has_no_delta():
    text = label("Tree", epsilon=800, delta=0, neighbors="add-remove").text
    assert "δ" not in text
    assert "2.727e+347" in text


def test_a_label_names_the_radius():
    text = label("Tree", epsilon=1, delta=0, neighbors=dps.RowsWithin(0.25)).text
    assert "moving one row by at most 0.25" in " ".join(text.split())


def test_a_label_has_no_default_relation():
    with pytest.raises(InvalidParameter):
        label("Tree", epsilon=1, delta=0, neighbors="nearby")


@pytest.mark.parametrize(("epsilon", "delta"), [(-1, 0), (1, 1), (1, -1e-9), (float("nan"), 0), (float("inf"), 0)])
def test_an_impossible_guarantee_has_no_label(epsilon, delta):
    with pytest.raises(InvalidParameter):
        label("Tree", epsilon=epsilon, delta=delta, neighbors="add-remove")


def test_notebooks_show_figures_and_labels():
    figure = budget_bar([("a", 0.5)])
    assert isinstance(figure, Figure)
    read(figure._repr_html_())
    read(label("Tree", epsilon=1, delta=0, neighbors="add-remove")._repr_html_())

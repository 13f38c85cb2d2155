"""The flame graph: widths are shares of the samples, and names from the code cannot break the picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from bench.flame import flame_graph, hottest

LINES = ["a;b 30", "a;<c>&; 10", "a 60"]


def test_a_box_is_as_wide_as_its_share() -> None:
    drawn = flame_graph(LINES, "x < y")
    ElementTree.fromstring(drawn)
    widths = {
        title: float(width) for title, width in re.findall(r'<title>(\S+) [^<]*</title><rect[^>]*width="(\S+)"', drawn)
    }
    assert widths["a"] == 1200
    assert widths["b"] == 360


def test_the_dearest_come_first_with_what_they_call() -> None:
    assert hottest(LINES)[0] == ("a", 0.6, 1.0)

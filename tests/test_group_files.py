"""Files of generators with representations and algebras, and every slip in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import equibasis as eb
from equibasis.symmetry.building import representation
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.workers import Workers

QUADRUPED = """
representations:
  base:
    mirror: [[1, 0, 0], [0, -1, 0], [0, 0, 1]]
    turn: [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]
  legs:
    mirror: [1, 0, 3, 2]
    turn: [3, 2, 1, 0]
  joints:
    mirror: {images: [1, 0, 3, 2], signs: [-1, -1, -1, -1]}
    turn: {images: [3, 2, 1, 0], signs: [1, 1, 1, 1]}
"""
SPIN = """
representations:
  V:
    x: [[0, 0, 0], [0, 0, -1], [0, 1, 0]]
    y: [[0, 0, 1], [0, 0, 0], [-1, 0, 0]]
    inversion: [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]
algebra: [x, y]
"""
POINTS = """
degree: 4
generators: {a: [1, 0, 3, 2], b: [2, 3, 0, 1]}
representations:
  base: {a: [[1, 0], [0, -1]], b: [[-1.0, 0.0], [0.0, -1.0e+0]]}
"""


@pytest.fixture
def read(tmp_path):
    def make(text: str, ending: str = "yaml") -> eb.Group:
        path = tmp_path / f"own.{ending}"
        path.write_text(text, encoding="utf-8")
        return find_group(str(path))

    return make


def matrices(group: eb.Group, name: str) -> np.ndarray:
    return representation(group, eb.as_space(name), Workers(1)).matrices


def test_a_file_gives_several_representations(read):
    group = read(QUADRUPED)
    assert (group.name, group.names) == ("own", ("base", "legs", "joints", "regular"))
    assert group.element_names == ("mirror", "turn")
    np.testing.assert_array_equal(matrices(group, "joints")[0], -matrices(group, "legs")[0])
    assert eb.solve(group, input="legs", output="legs").rank == 4
    assert eb.solve(group, input="joints", output="base").rank == 3
    same = eb.matrix_group(
        "own",
        representations={
            "base": {"mirror": np.diag([1, -1, 1]), "turn": np.diag([-1, -1, 1])},
            "legs": {"mirror": [1, 0, 3, 2], "turn": [3, 2, 1, 0]},
        },
    )
    assert eb.content_sha256(eb.solve(same, input="legs", output="base")) == eb.content_sha256(
        eb.solve(group, input="legs", output="base")
    )


def test_a_file_gives_an_algebra(read):
    group = read(SPIN)
    assert (group.elements, group.algebra) == (("inversion",), ("x", "y"))
    for X, Y in (("V", "V"), ("V**2", "V"), ("V**2", "V**2")):
        assert eb.solve(group, input=X, output=Y).rank == eb.solve("o3", input=X, output=Y).rank


def test_permutations_have_other_representations_beside(read):
    group = read(POINTS)
    assert group.names == ("V", "base", "regular")
    assert eb.solve(group, input="4", output="base").rank == 2
    assert eb.solve(group, input="V", output="4").rank == 4


def test_generators_may_be_lists_everywhere(read):
    group = read("representations: {base: [[[0, -1], [1, 0]]], four: [[1, 2, 3, 0]]}")
    assert group.element_names == ("g0",)
    assert eb.solve(group, input="four", output="base").rank == 2


@pytest.mark.parametrize("text", [QUADRUPED, SPIN, POINTS])
def test_json_says_the_same(read, text):
    yaml = pytest.importorskip("yaml")
    one, other = read(text), read(json.dumps(yaml.safe_load(text)), "json")
    assert one.names == other.names
    for name in one.representations:
        np.testing.assert_array_equal(matrices(one, name), matrices(other, name))


def test_a_file_is_a_factor_of_a_product(tmp_path, monkeypatch, read):
    read(QUADRUPED)
    monkeypatch.chdir(tmp_path)
    basis = eb.solve("own.yaml*so3", input="legs*V", output="legs*V")
    assert (basis.group, basis.rank) == ("own*so3", 4)


ROWS = "[[0, -1], [1, 0]]"
SLIPS = {
    "algebra: [x]": "needs the keys 'degree' and 'generators', or 'representations'",
    "representations: {V: {a: [1, 0]}}\ndegree: 2": "'degree' and 'generators' together",
    "representations: {V: {a: [1, 0]}}\ngenerators: [[1, 0]]": "together",
    "degree: 2\ngenerators: [[1, 0]]\nalgebra: [g0]": "'algebra' is of matrices",
    "degree: 2\ngenerators: [[1, 0]]\nrepresentations: {V: [[1, 0]]}": "V is how 'generators'",
    "degree: 2\ngenerators: [[1, 0]]\nrepresentations: {W: {b: [1, 0]}}": "does not say how",
    "degree: 2\ngenerators: [[1, 0]]\nrepresentations: {W: [[[2]]]}": "are not of one group",
    "representations: {V: {a: [1, 0]}}\nsigns: [1, -1]": "the key 'signs' means nothing here",
    "representations: 3": "'representations' gives, by name, the matrix of each",
    "representations:": "'representations' gives, by name",
    "representations: [V]": "'representations' gives, by name",
    "representations: {V: 3}": "'representations' gives, by name",
    "representations: {V: matrix}": "'representations' gives, by name",
    "representations: {}": "representations are a dictionary by name, of one at least",
    "representations: {V: {}}": "has no generators",
    "representations: {V: []}": "has no generators",
    "representations: {true: {a: [1, 0]}}": "a representation's name is text, not True",
    "representations: {V: {no: [1, 0]}}": "a generator's name is text, not False",
    "representations: {V: {a: [1, 0]}, 'V 2': {a: [1, 0]}}": "'V 2' is no name",
    "representations: {sym: {a: [1, 0]}}": "'sym' has a meaning of its own",
    "representations: {V: {a: [1, 0]}, W: {b: [1, 0]}}": "does not say how",
    "representations: {V: {a: [1, 0]}, W: {a: [1, 2, 0]}}": "are not of one group",
    "representations: {V: {a: [1, 1]}}": "no list of images 0 to 1",
    "representations: {V: {a: [[1, 0]]}}": "has shape (1, 2)",
    "representations: {V: {a: [[1, 0], [0]]}}": "a is no array",
    "representations: {V: {a: [[1, x], [0, 1]]}}": "text",
    "representations: {V: {a: [[1, true], [0, 1]]}}": "booleans",
    "representations: {V: {a: [[.nan]]}}": "NaN or infinity",
    "representations: {V: {a: [[0.0, 0.0], [0.0, 0.0]]}}": "is not an invertible matrix",
    "representations: {V: {a: 1}}": "a has shape ()",
    "representations: {V: {a: text}}": "text",
    "representations: {V: {a: {images: [1, 0]}}}": "has 'images' and 'signs'",
    "representations: {V: {a: {images: [1, 0], signs: [1, 2]}}}": "with signs 1 and -1",
    "representations: {V: {a: {images: [1, 0], signs: [1]}}}": "with signs 1 and -1",
    "representations: {V: {a: {images: 3, signs: [1]}}}": "not a list of whole numbers",
    "representations: {V: {a: {images: [1, 0], signs: [1, 1], more: 1}}}": "has 'images' and",
    f"representations: {{V: {{a: {ROWS}}}}}\nalgebra: a": "'algebra' is a list of names",
    f"representations: {{V: {{a: {ROWS}}}}}\nalgebra:": "'algebra' is a list of names",
    f"representations: {{V: {{a: {ROWS}}}}}\nalgebra: [a, a]": "each once",
    f"representations: {{V: {{a: {ROWS}}}}}\nalgebra: [true]": "'algebra' is a list of names",
    f"representations: {{V: {{a: {ROWS}}}}}\nalgebra: [b]": "the algebra element 'b' is none",
    "representations: {V: {a: [[1:30.5]]}}": "1:30.5 is 90.5 in YAML: write it as 90.5",
    "representations: {V: {a: [[1_0.5]]}}": "1_0.5 is 10.5 in YAML",
    "representations: {V: {a: [[010]]}}": "010 is 8 in YAML",
    "representations: {V: {a: [[1.0]], a: [[2.0]]}}": "the key 'a' is there twice",
    "representations: &r {V: *r}": "cannot read the group",
    "representations: {V: {a: &m [*m]}}": "own",
    "representations: {V: {a: !!set {1, 0}}}": "own",
}


@pytest.mark.parametrize(("text", "said"), SLIPS.items(), ids=SLIPS)
def test_a_slip_is_refused_in_one_line(read, text, said):
    with pytest.raises(eb.GroupError) as refusal:
        read(text)
    message = str(refusal.value)
    assert said in message
    assert "own" in message
    assert len(message.splitlines()) == 1

"""Groups by name: of the order that the books give, exact, and with the ranks of their theory."""

from __future__ import annotations

import contextlib
import itertools
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import by_hand
import equibasis as eb
from equibasis.symmetry.building import representation
from equibasis.symmetry.catalog import find_group, group_name, is_built_in, parts_of
from equibasis.symmetry.families import CRYSTALS, FAMILIES
from equibasis.symmetry.families.products import generating_positions
from equibasis.symmetry.hom_space import hom_space
from equibasis.symmetry.relations import check_relations
from equibasis.symmetry.representations import MatrixRepresentation, Representation
from equibasis.symmetry.workers import Workers

PAGE = Path(__file__).parents[1] / "docs" / "spaces.md"
CLASSES = {
    **{"C1": 1, "Ci": 2, "C2": 2, "Cs": 2, "C2h": 4, "D2": 4, "C2v": 4, "D2h": 8},
    **{"C4": 4, "S4": 4, "C4h": 8, "D4": 8, "C4v": 8, "D2d": 8, "D4h": 16},
    **{"C3": 3, "S6": 6, "D3": 6, "C3v": 6, "D3d": 12},
    **{"C6": 6, "C3h": 6, "C6h": 12, "D6": 12, "C6v": 12, "D3h": 12, "D6h": 24},
    **{"T": 12, "Th": 24, "O": 24, "Td": 24, "Oh": 48},
}
ORDERS = {
    **{f"c{n}": n for n in range(1, 13)},
    **{f"d{n}": 2 * n for n in range(1, 13)},
    **{f"a{n}": max(1, math.factorial(n) // 2) for n in range(1, 7)},
    **{f"b{n}": 2**n * math.factorial(n) for n in range(1, 6)},
    **CLASSES,
    **{"i": 60, "ih": 120, "q8": 8, "z7": 7, "s5": 120, "o": 24, "oh": 48},
}


def on(group: str | eb.Group, space: str) -> Representation:
    return representation(find_group(group), eb.as_space(space), Workers(1))


def elements(group: str | eb.Group, space: str = "V") -> np.ndarray:
    """All elements, as matrices: those listed, or those that the generators make."""
    found = hom_space(
        find_group(group), input=eb.SCALAR, output=eb.as_space(space), workers=Workers(1)
    )
    return by_hand.matrices(found.enumerated.output)


def mean_of_characters(group: str, power: int) -> int:
    """dim Hom(V^k, V^k), the mean of χ(g)^2k, χ real."""
    characters = np.trace(elements(group), axis1=1, axis2=2)
    return round(float(np.mean(characters ** (2 * power))))


# --- finite groups ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "order"), ORDERS.items(), ids=ORDERS)
def test_a_finite_group_has_its_order_and_v_is_faithful(name, order):
    matrices = elements(name)
    assert len({(np.round(each, 6) + 0.0).tobytes() for each in matrices}) == order
    group = find_group(name)
    assert not group.complete or len(group.elements) == order


def test_there_are_32_crystal_classes_of_the_names_that_are_known():
    assert len(CLASSES) == 32
    assert {name for name, each in FAMILIES.items() if each.kind == CRYSTALS} == {*CLASSES}


@pytest.mark.parametrize("name", [*CLASSES, "i", "ih", "c7", "d12", "c1000", "b4", "q8"])
def test_listed_groups_are_orthogonal_and_closed_to_the_last_bits(name):
    rho = find_group(name).representations["V"].matrices
    n = rho.shape[1]
    gram = rho @ rho.transpose(0, 2, 1)
    assert np.abs(gram - np.eye(n)).max() < 5e-16
    for g in rho[list(generating_positions(find_group(name)))]:
        products = np.einsum("ij,gjk->gik", g, rho).reshape(len(rho), -1)
        flat = rho.reshape(len(rho), -1)
        nearest = np.argmin(((products[:, None] - flat[None]) ** 2).sum(axis=2), axis=1)
        assert np.abs(products - flat[nearest]).max() < 5e-16
        assert len({*nearest.tolist()}) == len(rho)


@pytest.mark.parametrize("n", [*range(1, 13), 100, 1000])
def test_a_turn_to_the_power_of_its_order_is_the_identity(n):
    turn = find_group(f"c{n}").representations["V"].matrices[1 % n]
    assert np.abs(np.linalg.matrix_power(turn, n) - np.eye(2)).max() < 1e-15 * max(1, n / 8)
    assert turn[0, 0] == pytest.approx(math.cos(2 * math.pi / n), abs=3e-16)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_plane_groups_are_those_of_pixels_where_they_fit(n):
    for letter in "cd":
        made, known = FAMILIES[letter + "{n}"].make(n), find_group(f"{letter}{n}")
        if f"{letter}{n}" != "c1":
            assert made.element_names[0] == known.element_names[0] == "r0"
        assert len(made.elements) == len(known.elements)
        one, other = (
            {(np.round(m) + 0.0).tobytes() for m in each.representations["V"].matrices}
            for each in (made, known)
        )
        assert one == other


@pytest.mark.parametrize("n", [3, 5, 6, 7])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_ranks_of_turns_count_sums_of_signs_that_n_divides(n, power):
    """V ⊗ C = χ ⊕ χ⁻¹: one invariant of V^2k for each Σ ± 1 = 0 modulo n."""
    signs = itertools.product((1, -1), repeat=2 * power)
    count = sum(sum(each) % n == 0 for each in signs)
    assert eb.solve(f"c{n}", input=f"V**{power}", output=f"V**{power}").rank == count
    mirrored = eb.solve(f"d{n}", input=f"V**{power}", output=f"V**{power}").rank
    assert mirrored == count // 2  # a mirror exchanges the sums and their negatives


@pytest.mark.parametrize(
    ("name", "ranks"),
    [
        ("i", (1, 3, 16)),  # as all rotations, but for the invariant of degree 6
        ("ih", (1, 3, 16)),
        ("q8", (4, 64, 1024)),
        ("b3", (1, 4, 31)),  # partitions of 2k into blocks of even sizes
        ("b4", (1, 4, 31)),
        ("a5", (2, 16, 282)),
        ("Oh", (1, 4, 31)),
        ("T", (1, 7, 61)),
    ],
)
def test_ranks_are_means_of_characters(name, ranks):
    assert tuple(mean_of_characters(name, power) for power in (1, 2, 3)) == ranks
    for power in (1, 2):
        found = eb.solve(name, input=f"V**{power}", output=f"V**{power}")
        assert found.rank == ranks[power - 1]
        eb.verify_basis(found)


@pytest.mark.parametrize("name", CLASSES)
def test_the_rank_of_a_crystal_class_is_the_mean_of_its_characters(name):
    for power in (1, 2):
        basis = eb.solve(name, input=f"V**{power}", output=f"V**{power}")
        assert basis.rank == mean_of_characters(name, power)


def test_the_principal_axis_is_z_and_the_second_is_x():
    np.testing.assert_array_equal(elements("C2")[1], np.diag([-1, -1, 1]))
    np.testing.assert_array_equal(elements("Cs")[1], np.diag([1, 1, -1]))
    for name in ("D2", "D3", "D4", "D6", "D2d", "D3d"):  # a turn about x
        assert any(np.array_equal(each, np.diag([1, -1, -1])) for each in elements(name))
    for name in ("C2v", "C3v", "C4v", "C6v", "D3h"):  # a mirror perpendicular to x
        assert any(np.array_equal(each, np.diag([-1, 1, 1])) for each in elements(name))


def test_elements_of_crystal_classes_are_called_as_in_the_international_tables():
    assert find_group("C4").element_names == ("x y z", "-y x z", "-x -y z", "y -x z")
    assert find_group("C3").element_names == ("x y z", "-y x-y z", "-x+y -x z")


def test_a_group_of_permutations_is_that_of_even_ones():
    even = [p for p in itertools.permutations(range(5)) if by_hand_sign(p) == 1]
    matrices = {np.eye(5)[list(p)].tobytes() for p in even}
    assert {each.tobytes() for each in elements("a5")} == matrices


def by_hand_sign(permutation: tuple[int, ...]) -> int:
    return round(np.linalg.det(np.eye(len(permutation))[list(permutation)]))


def test_quaternions_multiply_from_the_left():
    named = dict(zip(find_group("q8").element_names, elements("q8"), strict=True))
    for a, b, c in ("ijk", "jki", "kij"):
        np.testing.assert_array_equal(named[a] @ named[b], named[c])
        np.testing.assert_array_equal(named[b] @ named[a], named[f"-{c}"])
        np.testing.assert_array_equal(named[a] @ named[a], named["-1"])


def test_built_in_groups_are_one_object_that_can_be_sent_to_other_processes():
    for name in ("c7", "D4h", "so3", "o1,3", "s4", "z3*so3", "wreath(s3, z2)"):
        assert pickle.loads(pickle.dumps(find_group(name))).name == name
    assert find_group("D6h") is find_group("D6h")
    assert find_group("z9") == find_group("z9")


def test_the_page_of_groups_names_every_family_and_its_code_runs():
    text = PAGE.read_text(encoding="utf-8")
    for name, each in FAMILIES.items():
        assert f"`{name}`" in text or each.kind == CRYSTALS
    scope = {"eb": eb}
    for code in text.split("```python\n")[1:]:
        exec(code.split("```")[0], scope)  # our own page
    assert eb.solve(scope["k4"], input="legs + 2*base*base", output="base").rank == 17
    assert (scope["basis"].group, scope["basis"].rank) == ("quadruped", 66)
    assert eb.solve(scope["z5"], input="5", output="5").rank == 5


# --- what does not fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "space", "said"),
    [
        ("c3", "9x9", "a turn by 120° takes no square grid of points to itself; c2, c4"),
        ("d6", "14x14", "a turn by 60° takes no square grid"),
        ("c7", "5x5", "a turn by 360°/7 takes no square grid"),
        ("c3", "9", "a sequence does not turn; z3 shifts it in a circle"),
        ("d3", "9:vector", "a sequence does not turn"),
        ("c1", "9", "use trivial"),
        ("Oh", "3x3x3", "acts on V, not on arrays; oh is the group of that name that does"),
        ("D3h", "3x3", "is one of matrices: it acts on V, not on arrays"),
        ("so3", "5", "acts on V, l2, l3, l4, not on arrays"),
        ("so3*z4", "5", "4 shifts by one do not bring a sequence of 5 back to its start"),
        ("so3*z4", "4x4", "acts on arrays of 1 axis, not on 4x4"),
        ("so3*s5", "(4)*V", "its axes must have length 5, not 4"),
        ("wreath(s4, s3)", "4x3", "it has 3 blocks of 4 points, 3x4"),
        ("wreath(s4, s3)", "12", "acts on arrays of 2 axes, not on 12"),
    ],
)
def test_a_space_that_does_not_fit_is_refused_with_the_reason(group, space, said):
    with pytest.raises(eb.SpaceError) as refusal:
        eb.solve(group, output=space)
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("so1", "the size of group 'so1' must be at least 2"),
        ("su1", "must be at least 2"),
        ("sl1", "must be at least 2"),
        ("sp5", "its number is even"),
        ("scale9999", "must be at most 2,000, not 9999"),
        ("so999", "498,501 dimensions, and the most is 2,000"),
        ("u99999", "must be at most 2,000, not 99999"),
        ("SO(3)", "unknown group 'SO(3)' (is it so3"),
        ("SO(1,3)", "(is it so1,3 or so+1,3?)"),
        ("Z_4", "(is it z4?)"),
        ("c4V", "(is it C4v"),
        ("so3 ", "unknown group"),
        ("so03", "unknown group"),
        ("so1, 3", "unknown group"),
        ("D5h", "unknown group"),
        ("wreath(s3)", "unknown group"),
        ("wreath(s3,)", "unknown group"),
        ("wreath(c4, s3)", "c4 is no group of permutations"),
        ("wreath(s3, so3)", "so3 is no group of permutations"),
        ("wreath(s3, qq)", "unknown group 'qq'"),
    ],
)
def test_a_name_that_is_none_is_refused_in_one_line(name, said):
    with pytest.raises(eb.GroupError) as refusal:
        find_group(name)
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@given(st.text("aosuicdzghpl+,*()0123 ", max_size=9) | st.from_regex(r"\Awreath\(.{0,9}\)\Z"))
def test_any_text_is_a_group_or_refused_in_one_line(text):
    if is_built_in(text):
        with contextlib.suppress(eb.GroupError):  # so1, wreath(so3, s2): no such group
            assert find_group(text).name == group_name(text)
    else:
        with pytest.raises(eb.GroupError) as refusal:
            find_group(text)
        assert len(str(refusal.value).splitlines()) == 1


def test_an_unknown_name_is_told_what_there_is_by_kind():
    with pytest.raises(eb.GroupError) as refusal:
        find_group("lorentz")
    for part in ("acting on arrays, trivial", "of matrices, c{n}", "continuous so{n}", "s{n}"):
        assert part in str(refusal.value)
    for way in ("z14*z14", "wreath(s4, s3)", "YAML", "module:object"):
        assert way in str(refusal.value)
    assert len(str(refusal.value)) < 450


# --- continuous groups --------------------------------------------------------------------------

# From the theory of invariants: Schur and Weyl, Brauer, Motzkin sums, Catalan numbers.
RANKS = [
    ("so2", "V", "V", 2),
    ("so2", "V**2", "V**2", 6),
    ("o2", "V**2", "V**2", 3),
    ("so3", "V**2", "V", 1),  # the cross product
    ("o3", "V**2", "V", 0),
    ("so3", "V**2", "V**2", 3),
    ("so4", "V**2", "V**2", 4),  # the last from ε_ijkl
    ("o4", "V**2", "V**2", 3),
    ("so5", "V**2", "V**2", 3),
    ("o3", "sym(V, 2)", "sym(V, 2)", 2),  # Lamé
    ("so3", "sym(V, 2)", "sym(V, 2)", 2),
    ("so+1,3", "V**2", "V**2", 4),
    ("so1,3", "V**2", "V**2", 4),
    ("o1,3", "V**2", "V**2", 3),
    ("so+1,3", "V*alt(V, 2)", "V", 2),
    ("o1,3", "V*alt(V, 2)", "V", 1),
    ("so+1,1", "V", "V", 2),
    ("o1,1", "V", "V", 1),
    ("su2", "V", "V", 4),  # the quaternions
    ("u1", "V", "V", 2),
    ("u2", "V", "V", 2),
    ("su2", "V**2", "V**2", 32),
    ("u2", "V**2", "V**2", 12),
    ("su3", "V**2", "V**2", 12),
    ("su3", "V**2", "V", 2),
    ("u3", "V**2", "V", 0),
    ("sp2", "V**2", "V**2", 2),
    ("sp4", "V**2", "V**2", 3),
    ("sp4", "alt(V, 2)", "1", 1),
    ("sp4", "sym(V, 2)", "1", 0),
    ("sl2", "V**2", "1", 1),
    ("sl3", "V**2", "dual(V)", 1),
    ("gl3", "V**2", "dual(V)", 0),
    ("sl3", "V**2", "V**2", 2),
    ("gl2", "V**2", "V**2", 2),
    ("gl1", "V", "V", 1),
    ("gl1", "V**2", "V**2", 1),
    ("scale3", "V**2", "V**2", 81),
    ("scale3", "V**2", "V", 0),
    ("g2", "V**2", "V", 1),  # the product of octonions
    ("g2", "V**2", "V**2", 4),
]


@pytest.mark.parametrize(("group", "X", "Y", "rank"), RANKS)
def test_a_continuous_group_has_the_rank_of_its_invariants(group, X, Y, rank):
    basis = eb.solve(group, input=X, output=Y)
    assert basis.rank == rank
    listed = on(group, X), on(group, Y)
    for w in by_hand.dense(basis).T.reshape(-1, basis.space.k, basis.space.m):
        for x, y in zip(listed[0].matrices, listed[1].matrices, strict=True):
            np.testing.assert_allclose(y @ w, w @ x, atol=1e-11 * np.abs(y).max())


@pytest.mark.parametrize(
    "name",
    [
        *["so2", "so3", "so12", "o5", "so+1,3", "so2,3", "o3,2", "u1", "u3", "su4", "sp2", "sp6"],
        *["sl4", "gl1", "gl3", "scale2", "g2"],
    ],
)
def test_a_continuous_group_is_of_whole_numbers_and_has_the_dimension_of_its_algebra(name):
    n = [int(each) for each in "".join(c if c.isdigit() else " " for c in name).split()]
    dimension = {
        "so": lambda *n: sum(n) * (sum(n) - 1) // 2,
        "o": lambda *n: sum(n) * (sum(n) - 1) // 2,
        "u": lambda n: n * n,
        "su": lambda n: n * n - 1,
        "sp": lambda n: n * (n + 1) // 2,
        "sl": lambda n: n * n - 1,
        "gl": lambda n: n * n,
        "scale": lambda n: 1,
        "g": lambda _: 14,
    }[name.rstrip("0123456789,+").replace("+1", "").rstrip("+")](*n)
    rho = find_group(name).representations["V"]
    for each in (*rho.discrete, *(a.toarray() for a in rho.algebra)):
        np.testing.assert_array_equal(each, np.rint(each))
    assert len(closed_under_brackets([a.toarray() for a in rho.algebra])) == dimension


def closed_under_brackets(algebra: list[np.ndarray]) -> list[np.ndarray]:
    """A basis of the algebra that some matrices generate, by ranks."""
    basis: list[np.ndarray] = []
    queue = list(algebra)
    for each in queue:
        rows = np.array([b.ravel() for b in (*basis, each)])
        if np.linalg.matrix_rank(rows, tol=1e-8) > len(basis):
            scaled = each / np.abs(each).max()
            queue += [scaled @ a - a @ scaled for a in algebra]
            basis.append(scaled)
    return basis


@pytest.mark.parametrize(("p", "q"), [(1, 3), (3, 1), (2, 2), (1, 1)])
def test_the_first_p_coordinates_are_positive(p, q):
    form = np.diag([1.0] * p + [-1.0] * q)
    for name in (f"so+{p},{q}", f"so{p},{q}", f"o{p},{q}"):
        rho = find_group(name).representations["V"]
        for a in rho.algebra:
            np.testing.assert_array_equal(a.T @ form + form @ a, np.zeros((p + q, p + q)))
        for h in rho.discrete:
            np.testing.assert_array_equal(h.T @ form @ h, form)
    components = {each: len(find_group(f"{each}{p},{q}").elements) for each in ("so+", "so", "o")}
    assert components == {"so+": 0, "so": 1, "o": 2}


@pytest.mark.parametrize("group", ["so3", "o3"])
def test_real_spins_are_of_one_group_with_v_and_correctly_rounded(group):
    found = find_group(group)
    check_relations(group, found.element_names, found.representations, "V")
    for spin in (2, 3, 4):
        rho = found.representations[f"l{spin}"]
        assert (rho.dimension, rho.is_orthogonal) == (2 * spin + 1, True)
        entries = np.abs(np.concatenate([a.data for a in rho.algebra]))
        np.testing.assert_array_equal(entries, np.sqrt(np.rint(5040 * entries**2) / 5040))
        assert eb.solve(group, input=f"l{spin}", output=f"l{spin}").rank == 1
        assert eb.solve(group, input=f"V**{spin}", output=f"l{spin}").rank == 1


@pytest.mark.parametrize(
    ("X", "Y", "rank"),
    [
        ("l2*l2", "l4", 1),
        ("l2*l2", "l3", 1),
        ("l2*l2", "l2", 1),
        ("l2*l2", "l2*l2", 5),
        ("l2", "l3", 0),
        ("V*l2", "V + l2 + l3", 3),
        ("sym(V, 3)", "l3 + V", 2),
    ],
)
def test_spins_multiply_as_clebsch_and_gordan_say(X, Y, rank):
    assert eb.solve("so3", input=X, output=Y).rank == rank


def test_the_parity_of_spins_is_that_of_their_tensors():
    assert eb.solve("o3", input="l2*l2", output="l3").rank == 0
    assert eb.solve("o3", input="V*l2", output="l3").rank == 1


def test_a_continuous_group_acts_on_arrays_in_products_alone():
    V = find_group("so2").representations
    with pytest.raises(eb.GroupError, match="no transform of arrays does all exp"):
        eb.Group("own", (), lambda x, g: x, complete=False, algebra=("L",), representations=V)
    assert find_group("so2*z3").transform is not None


# --- products -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "X", "Y", "rank"),
    [
        ("s3*s4*s5", "3x4x5", "3x4x5", 8),
        ("z3*s4", "3x4", "3x4", 6),
        ("so3*s5", "(5)*V", "(5)*V", 2),
        ("o3*s5", "(5)*V", "(5)*V", 2),
        ("s5*so3", "V*(5)", "V*(5)", 2),
        ("so3*s5", "V*V2", "V*V2", 2),
        ("so3*s5", "(5)*V*V", "V", 1),  # the sum of cross products
        ("so3*so3", "V1*V2", "V1*V2", 1),
        ("so3*so3", "V1*V1", "V2*V2", 1),
        ("so3*so3", "l2_1", "l2_1", 1),
        ("D4h*so3", "V1*V2", "V1*V2", 2),
        ("Oh*s3", "(3)*V", "(3)*V", 2),
        ("c4*so3", "4x4:vector*V", "V*(2x2)", 32),
        ("c3*q8", "V1*V2", "V1*V2", 8),
        ("c4*z3", "V1*V2", "V1*V2", 6),
        ("wreath(s2, s3)*so3", "(3x2)*V", "(3x2)*V", 3),
        ("trivial*so3", "7*V", "V", 7),
    ],
)
def test_the_rank_of_a_product_is_the_product_of_those_of_its_factors(group, X, Y, rank):
    basis = eb.solve(group, input=X, output=Y)
    assert basis.rank == rank
    assert basis.group == group


def test_a_product_of_matrices_and_arrays_is_the_kronecker_product_of_its_elements():
    product = find_group("so2*z3*b2")
    assert product.element_names == ("e,s1,e", "e,e,1 -2", "e,e,-1 2", "e,e,2 1", "L12,e,e")
    of_b2 = dict(zip(find_group("b2").element_names, elements("b2"), strict=True))
    turn, one = on("so2", "V").matrices[-1], np.eye(2)
    shift = on("z3", "3").matrices[1]
    expected = [
        (shift, one, one),
        *((np.eye(3), one, of_b2[name]) for name in ("1 -2", "-1 2", "2 1")),
        (np.eye(3), turn, one),
    ]
    found = on(product, "(3)*V1*V3").matrices
    for matrix, (a, b, c) in zip(found, expected, strict=True):
        np.testing.assert_allclose(matrix, np.kron(np.kron(a, b), c), atol=1e-15)


def test_a_name_that_several_factors_have_is_told_with_their_numbers():
    with pytest.raises(eb.SpaceError, match="this group has V1, V2, regular"):
        eb.solve("c4*z3", input="V", output="V")
    assert find_group("s5*so3*z3").names == ("V1", "V", "l2", "l3", "l4", "V3")


def test_products_of_own_groups_of_matrices_and_transforms():
    mirrored = eb.Group("mirrored", (1, -1), lambda x, g: x[::g], axes=1, rearranges=True)
    base = eb.matrix_group("base", representations={"base": {"a": [[0, -1], [1, 0]]}})
    product = eb.direct_product(mirrored, base, "so3")
    assert product.names == ("base", "V", "l2", "l3", "l4")
    assert eb.solve(product, input="(3)*base*V", output="(3)*base*V").rank == 5 * 2 * 1
    spin = eb.matrix_group("spin", algebra={"turn": [[0, -1], [1, 0]]})
    assert eb.solve(eb.direct_product(spin, spin), input="V1*V2", output="V1*V2").rank == 4


def test_representations_of_two_factors_that_would_have_one_name_are_refused():
    one = eb.matrix_group("one", representations={"V": {"a": [1, 0]}, "V2": {"a": [1, 0]}})
    with pytest.raises(eb.GroupError, match="two representations would be called 'V2'"):
        eb.direct_product(one, "Oh")


def test_products_of_products_are_products_of_their_factors():
    flat = find_group("so3*s5*z2")
    for nested in (
        eb.direct_product(find_group("so3*s5"), "z2"),
        eb.direct_product("so3", find_group("s5*z2")),
    ):
        assert (nested.names, nested.element_names) == (flat.names, flat.element_names)
        assert eb.solve(nested, input="(5x2)*V", output="(5x2)*V").rank == 4


def test_a_factor_of_matrices_that_is_no_group_is_refused_where_generators_are_listed():
    two_of_three = MatrixRepresentation(find_group("c3").representations["V"].matrices[:2])
    wrong = eb.Group("wrong", ("e", "r"), None, representations={"V": two_of_three})
    for other, space in (("z2", "V"), ("s5", "V"), ("so3", "V1")):
        with pytest.raises(eb.GroupError, match=r"'wrong.*' is not closed"):
            eb.solve(eb.direct_product(wrong, other), input=space, output="1")


def test_the_regular_representation_of_a_product_is_that_of_its_elements():
    for group, order in (("c3*q8", 24), ("s3*c3", 18), ("D3*a4", 72)):
        assert on(group, "regular").dimension == order
        assert eb.solve(group, input="regular", output="regular").rank == order


# --- wreath products ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inner", "outer", "order"),
    [("s2", "s2", 8), ("s3", "s2", 72), ("z3", "z2", 18), ("s2", "s4", 384), ("a4", "z2", 288)],
)
def test_a_wreath_product_has_its_order(inner, outer, order):
    """|A ≀ B| = |A|^m |B|."""
    assert len(elements(eb.wreath_product(inner, outer))) == order


@pytest.mark.parametrize(("n", "m"), [(4, 3), (2, 2), (3, 5)])
def test_a_wreath_product_of_symmetric_groups_has_rank_3(n, m):
    """A point and itself, two points of a block, two points of different blocks."""
    for group in (f"wreath(s{n}, s{m})", eb.wreath_product(f"s{n}", f"s{m}")):
        assert eb.solve(group, input=(m, n), output=(m, n)).rank == 3
        assert eb.solve(group, input="V", output=(m, n)).rank == 3


def test_blocks_that_no_element_exchanges_are_permuted_each_on_its_own():
    still = eb.permutation_group("still", [[0, 1]])
    assert eb.solve(eb.wreath_product("s3", still), input="2x3", output="2x3").rank == 2 + 2 + 2


def test_products_and_files_in_a_wreath_product_have_one_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "turn.json").write_text('{"degree": 4, "generators": [[1, 2, 3, 0]]}')
    for spec, name in (
        ("wreath( turn.json ,s3 )", "wreath(turn, s3)"),
        ("wreath(s2,s3) * z5", "wreath(s2, s3)*z5"),
        ("wreath(wreath(s2, s2), z3)", "wreath(wreath(s2, s2), z3)"),
    ):
        assert find_group(spec).name == group_name(spec) == name
    assert is_built_in("wreath(s2,s3) * z5")
    assert parts_of("wreath(turn.json, s3*z2) * z5") == ["turn.json", "s3", "z2", "z5"]
    assert not is_built_in("wreath(turn.json, s3)")
    basis = eb.solve("wreath(s2, s3)", output="3x2")
    eb.save_basis(basis, "basis.h5")
    assert eb.load_basis("basis.h5").group == "wreath(s2, s3)"


# --- complex numbers ----------------------------------------------------------------------------


def test_the_real_form_of_a_product_is_the_product_of_the_real_forms():
    random = np.random.default_rng(0)
    A, B = (random.standard_normal((3, 3)) + 1j * random.standard_normal((3, 3)) for _ in range(2))
    one, other = eb.realify(A), eb.realify(B)
    np.testing.assert_allclose(one @ other, eb.realify(A @ B), atol=1e-12)
    z = random.standard_normal(3) + 1j * random.standard_normal(3)
    parts = np.concatenate([z.real, z.imag])
    np.testing.assert_allclose(one @ parts, [*(A @ z).real, *(A @ z).imag], atol=1e-12)
    np.testing.assert_array_equal(eb.realify([[0, 1j], [1j, 0]]), eb.realify(1j * np.eye(2)[::-1]))


def test_a_complex_matrix_is_refused_and_told_of_its_real_form():
    with pytest.raises(eb.GroupError, match=r"equibasis\.realify\(M\)"):
        eb.matrix_group("phase", [[[1j]]])
    assert eb.solve(eb.matrix_group("phase", [eb.realify([[1j]])]), input="V", output="V").rank == 2


@pytest.mark.parametrize("wrong", [1j, [1j], [[1j, 0]], [[np.nan * 1j]], [], [["x"]], None])
def test_what_is_no_square_matrix_has_no_real_form(wrong):
    with pytest.raises(eb.GroupError):
        eb.realify(wrong)

"""docs/file-format.md is what the files are: its table, its hash, its reader and its example."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import by_hand
import equibasis as eb
from equibasis.artifact import schema, store

PAGE = (Path(__file__).parents[1] / "docs" / "file-format.md").read_text(encoding="utf-8")


def turn(vector: np.ndarray, sixths: int) -> np.ndarray:
    angle = sixths * np.pi / 3
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ vector


HEXAGON = eb.Group("hexagon", tuple(range(6)), turn)

PROBLEMS = {
    "maps between grids": {"group": "c4", "input": "6x6", "output": "3x3"},
    "invariants of a grid": {"group": "d4", "output": "5x5"},
    "maps of fields": {"group": "c4", "input": "4x4:vector", "output": "3x3"},
    "invariants of voxels": {"group": "oh", "output": "3x3x3"},
    "channels": {"group": "c4", "input": "3*2x2", "output": "2*3x3"},
    "to the scalars": {"group": "d4", "input": "6x6", "output": "1"},
    "sums": {"group": "c4", "input": "dual(3x3:vector) + 2x2**2", "output": "2*(3x3 + 1)"},
    "generators": {"group": "s5", "input": "5x5", "output": "5x5"},
    "a sequence": {"group": "z6", "output": "6"},
    "matrices": {"group": HEXAGON, "input": "2", "output": "2"},
    "channels of matrices": {"group": HEXAGON, "input": "2", "output": "3*2"},
    "signs on both sides": {"group": "d4", "input": "5x5:pseudoscalar", "output": "5x5:vector"},
    "generators of signs": {"group": "p4", "input": "4x4:vector", "output": "4x4"},
    "permutations and matrices": {"group": HEXAGON, "input": "2 + 1", "output": "3*2 + 1"},
    "many copies": {"group": "d4", "input": "7x7", "output": "8x8"},
    "one point": {"group": "c4", "input": "1x1", "output": "1x1"},
}


@pytest.fixture(params=PROBLEMS)
def file(request, tmp_path) -> Path:
    path = tmp_path / "basis.h5"
    eb.save_basis(by_hand.solved(**PROBLEMS[request.param]), path)
    return path


# --- the table ----------------------------------------------------------------------------------


def rows() -> dict[str, list[str]]:
    """Of the table in the page: type and shape, hashed, and meaning, by name."""
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0].startswith("`/"):
            found[cells[0].strip("`")] = [cell.replace("\\|", "|") for cell in cells[1:]]
    return found


def test_the_page_has_a_row_for_each_entry_and_no_other():
    assert list(rows()) == [entry.name for entry in schema.TABLE]


@pytest.mark.parametrize("entry", schema.TABLE, ids=lambda entry: entry.name)
def test_the_page_says_of_each_entry_what_the_reader_holds_it_to(entry):
    kinds, hashed, meaning = rows()[entry.name]
    forms = [
        f"`{type_}`" + (f" ({', '.join(map(str, entry.shape))})" if entry.shape else "")
        for type_ in entry.types
    ]
    said = " or ".join([", ".join(forms[:-1]), forms[-1]]) if len(forms) > 1 else forms[0]
    assert (kinds, hashed) == (said, "yes" if entry.hashed else "no")
    assert meaning
    if len(entry.values) == 1:
        assert str(entry.values[0]) in meaning
    assert ("optional" in meaning) == (not entry.required and entry.name not in NONE_OF_A_KIND)


# There unless there is no type or table of the kind.
NONE_OF_A_KIND = {"/types/index", "/types/matrices", "/tables/labels", "/tables/values"}


def test_the_page_names_every_group_and_limit():
    for path in schema.GROUPS:
        assert f"`{path}`" in PAGE
    superscripts = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    assert store._MOST_ROWS == 2**20
    assert store._MOST_NONZEROS == 2**18
    for power in (20, 18):
        assert f"2{str(power).translate(superscripts)}" in PAGE


def test_a_file_holds_what_the_table_says_and_nothing_else(file):
    with h5py.File(file) as opened:
        found = {f"/@{name}" for name in opened.attrs}

        def visit(name: str, thing: h5py.Group | h5py.Dataset) -> None:
            found.update(f"/{name}@{key}" for key in thing.attrs)
            if isinstance(thing, h5py.Dataset):
                found.add(f"/{name}")

        opened.visititems(visit)
    assert found <= {entry.name for entry in schema.TABLE}


# --- the hash, from the page alone --------------------------------------------------------------


def hash_from_the_page(path: Path) -> str:
    """As "The hash" says, with h5py and hashlib: the hashed names of the table, in byte order."""
    digest = hashlib.sha256()
    with h5py.File(path) as opened:
        for name, (_, hashed, _) in sorted(rows().items(), key=lambda row: row[0].encode()):
            holder, _, attribute = name.partition("@")
            if hashed != "yes" or holder not in opened:
                continue
            thing = opened[holder]
            if attribute and attribute not in thing.attrs:
                continue
            if not attribute and isinstance(thing, h5py.Group):
                continue
            value = np.asarray(thing.attrs[attribute] if attribute else thing[()])
            shape = "x".join(map(str, value.shape)) if value.shape else "scalar"
            if value.dtype.kind == "S":
                digest.update(f"{name} utf-8 {shape}\n".encode())
                for string in value.ravel().tolist():
                    digest.update(len(string).to_bytes(8, "little"))
                    digest.update(string)
            else:
                digest.update(f"{name} {value.dtype.newbyteorder('<').str} {shape}\n".encode())
                digest.update(value.tobytes())
    return digest.hexdigest()


def test_the_hash_follows_from_the_page(file):
    with h5py.File(file) as opened:
        stored = opened.attrs["content_sha256"].decode()
    assert hash_from_the_page(file) == stored == eb.content_sha256(eb.load_basis(file))


# --- other readers ------------------------------------------------------------------------------


def test_pyfive_finds_what_h5py_finds(file):
    """A reader of HDF5 in Python alone, which knows less of it than the library."""
    pyfive = pytest.importorskip("pyfive")
    with h5py.File(file) as one, pyfive.File(file) as other:
        names = ["/"]
        one.visit(names.append)
        for name in names:
            assert dict(one[name].attrs).keys() == dict(other[name].attrs).keys()
            for key, value in one[name].attrs.items():
                np.testing.assert_array_equal(other[name].attrs[key], value)
            if isinstance(one[name], h5py.Dataset):
                np.testing.assert_array_equal(other[name][()], one[name][()])
            else:
                assert set(other[name]) == set(one[name])


@pytest.mark.parametrize("matrix", [True, False], ids=["with the matrix", "without the matrix"])
def test_the_code_of_the_page_rebuilds_the_basis(file, monkeypatch, matrix):
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(file.parent)
    found: dict[str, object] = {}
    basis = eb.load_basis(file)
    if not matrix:
        with h5py.File(file, "r+") as opened:
            del opened["basis"]
    exec(code.replace("c4_14x14_to_6x6.h5", file.name), found)
    np.testing.assert_array_equal(found["basis"].toarray(), by_hand.dense(basis))
    np.testing.assert_array_equal(found["first"].ravel(), by_hand.dense(basis)[:, 0])


# --- the example --------------------------------------------------------------------------------


def dump(opened: h5py.File) -> Iterator[str]:
    """Every object with its type and shape, its attributes and its first values."""

    def shown(value: object) -> str:
        array = np.asarray(value)
        if array.dtype.kind == "S":
            texts = [f'"{text.decode()}"' for text in array.ravel().tolist()]
            return texts[0] if array.ndim == 0 else f"[{', '.join(texts)}]"
        numbers = [f"{number:.10g}" for number in array.ravel().tolist()]
        most = 16 if len(numbers) > 16 else len(numbers)
        more = ", ..." if len(numbers) > most else ""
        return numbers[0] if array.ndim == 0 else f"[{', '.join(numbers[:most])}{more}]"

    def kind(value: np.ndarray | h5py.Dataset | np.generic) -> str:
        type_ = "utf-8" if value.dtype.kind == "S" else value.dtype.newbyteorder("<").str
        return f"{type_} {'x'.join(map(str, value.shape))}".strip()

    def lines(name: str, thing: h5py.Group | h5py.Dataset) -> Iterator[str]:
        if isinstance(thing, h5py.Dataset):
            yield f"{name}  {kind(thing)}  {shown(thing[()])}"
        else:
            yield name
        for key in sorted(thing.attrs):
            yield f"    {key} = {shown(thing.attrs[key])}"

    yield from lines("/", opened)
    names: list[str] = []
    opened.visit(names.append)
    for name in sorted(names):
        yield from lines(f"/{name}", opened[name])


def test_the_example_is_the_dump_of_that_file(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = re.search(
        r"`equibasis (solve [^`]*)`, printed by h5py:\n\n```\n(.*?)```", PAGE, re.DOTALL
    )
    assert said is not None
    arguments = said.group(1).split()
    assert command(*arguments).status == 0
    with h5py.File(arguments[1]) as opened:
        assert "\n".join(dump(opened)) + "\n" == said.group(2)

"""docs/file-format.md is what the files are: its table, its hash, its plot and its example."""

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
from equibasis.artifact import schema
from equibasis.artifact.store import verify_file

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
    "large": {"group": "d4", "input": "12x12", "output": "12x12"},
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
        f"`{type_}`" + (f" ({', '.join(map(str, shape))})" if shape else "")
        for type_, shape in entry.forms
    ]
    said = " or ".join([", ".join(forms[:-1]), forms[-1]]) if len(forms) > 1 else forms[0]
    assert (kinds, hashed) == (said, "yes" if entry.hashed else "no")
    assert meaning
    if len(entry.values) == 1:
        assert str(entry.values[0]) in meaning
    for encoding in entry.encodings:
        words = {"csc_matrix": "sparse", "equibasis-orbits": "labels", "array": "dense"}
        assert words[encoding] in meaning


def test_the_page_names_every_group_encoding_and_limit():
    for path in schema.GROUPS:
        assert f"`{path}`" in PAGE
    for encoding in ("csc_matrix", "equibasis-orbits", "array"):
        assert f"`{encoding}`" in PAGE


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


# --- the plot -----------------------------------------------------------------------------------


def default_plot(opened: h5py.File) -> h5py.Group:
    """As H5Web finds it: from the root along `default`, until a group is of class NXdata."""
    group: h5py.Group = opened
    while group.attrs["NX_class"] != b"NXdata":
        group = group[group.attrs["default"].decode()]
    return group


def test_viewers_find_a_picture_with_an_axis_for_each_of_its_sides(file):
    with h5py.File(file) as opened:
        assert opened.attrs["NX_class"] == b"NXroot"
        plot = default_plot(opened)
        signal = plot[plot.attrs["signal"].decode()]
        assert isinstance(signal, h5py.Dataset)
        assert signal.dtype.kind == "f"
        axes = [plot[name.decode()] for name in plot.attrs["axes"]]
        assert [axis.shape for axis in axes] == [(size,) for size in signal.shape]
        assert all((np.diff(axis[()]) > 0).all() for axis in axes)
        shown = signal.attrs["interpretation"]
        assert signal.ndim == {b"image": 3, b"spectrum": 2}[shown]
        assert np.abs(signal[()]).reshape(len(signal), -1).max(axis=1).all()
        assert signal.attrs["long_name"].decode()


def test_the_picture_shows_the_first_basis_vectors(file):
    basis = eb.load_basis(file)
    with h5py.File(file) as opened:
        images = default_plot(opened)["vectors"][()]
    columns = by_hand.dense(basis).T[: len(images)]
    # Every entry of a vector is a pixel of its image, and there is no other.
    np.testing.assert_array_equal(
        np.sort(images.reshape(len(images), -1), axis=1),
        np.sort(columns.astype(np.float32), axis=1),
    )


def test_the_picture_of_a_map_is_a_grid_of_grids(tmp_path):
    basis = eb.solve("c4", input="3x3", output="2x2")
    eb.save_basis(basis, tmp_path / "basis.h5")
    with h5py.File(tmp_path / "basis.h5") as opened:
        (image, *_) = default_plot(opened)["vectors"][()]
    weights = by_hand.dense(basis)[:, 0].reshape(2, 2, 3, 3)
    for row, column in np.ndindex(2, 2):
        tile = image[3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        np.testing.assert_array_equal(tile, weights[row, column].astype(np.float32))


def test_the_picture_is_small_beside_the_basis(file):
    with h5py.File(file) as opened:
        part = opened["basis"]
        stored = [part] if isinstance(part, h5py.Dataset) else list(part.values())
        signal = default_plot(opened)["vectors"]
        assert len(signal) <= 16
        assert signal.nbytes <= min(2**17, max(sum(d.nbytes for d in stored), signal[0].nbytes))


def test_a_picture_of_too_many_pixels_is_halved_and_loses_no_entry(tmp_path):
    basis = eb.solve("d4", input="20x20", output="20x20")
    eb.save_basis(basis, tmp_path / "basis.h5")
    with h5py.File(tmp_path / "basis.h5") as opened:
        plot = default_plot(opened)
        images, rows_, columns = (plot[name][()] for name in ("vectors", "row", "column"))
    assert images.shape[1:] == (100, 200)
    assert rows_.tolist() == list(range(0, 400, 4))
    assert columns.tolist() == list(range(0, 400, 2))
    for number, image in enumerate(images):
        picture = np.zeros((400, 400))
        entries = basis.matrix[:, [number]].tocoo()
        (row, column), (i, j) = (np.divmod(e, 20) for e in np.divmod(entries.row, 400))
        picture[20 * row + i, 20 * column + j] = entries.data
        expected = picture.reshape(100, 4, 200, 2).max(axis=(1, 3))
        np.testing.assert_array_equal(image, expected.astype(np.float32))


def test_a_basis_of_rank_0_has_no_plot(tmp_path):
    eb.save_basis(by_hand.solved(HEXAGON, output="2"), tmp_path / "basis.h5")
    with h5py.File(tmp_path / "basis.h5") as opened:
        assert "plot" not in opened
        assert not {"default", "NX_class"} & set(opened.attrs)
    verify_file(tmp_path / "basis.h5")


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

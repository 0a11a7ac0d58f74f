"""Autoencoders: f(ρ(g) x) = ρ(g) f(x), whatever is drawn, trained, saved or loaded."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import equibasis as eb
from digit_models import from_bases
from digits.bases import basis_file, basis_hashes, load_bases
from digits.build import build_model
from digits.config import MODELS, AutoencoderConfig, bases_needed, model_config
from digits.equivariant import AttentionEncoder, equivariant_autoencoder
from digits.parameters import Parameters
from digits.plain import Autoencoder, plain_autoencoder
from digits.weights import load_autoencoder, save_model

EQUIVARIANT = ["equivariant", "equivariant_attention"]
SIZES = (14, (6, 3))


def config_of(model: str, group: str = "c4", **choices: Any) -> AutoencoderConfig:
    return AutoencoderConfig(model, *SIZES, group, **choices)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every basis file that a c4 or d4 model of these sizes needs."""
    folder = tmp_path_factory.mktemp("bases")
    for kind in ("equivariant", "invariant"):
        (folder / kind).mkdir()
    for group in ("c4", "d4"):
        for input_, output in bases_needed(config_of("equivariant_attention", group)):
            basis = eb.solve(group, input=input_, output=output)
            eb.save_basis(basis, basis_file(folder, group, (input_, output)))
    return folder


load = functools.cache(load_bases)


def build(config: AutoencoderConfig, folder: Path, seed: int = 0) -> Autoencoder:
    """An autoencoder with every parameter random, biases too."""
    torch.manual_seed(seed)
    if config.is_equivariant:
        model = equivariant_autoencoder(config, load(config, folder))
    else:
        model = plain_autoencoder(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name:
                parameter.uniform_(-0.5, 0.5)
    return model.eval()


def save(model: Autoencoder, config: AutoencoderConfig, folder: Path, path: Path) -> Path:
    hashes = basis_hashes(config, load(config, folder)) if config.is_equivariant else {}
    save_model(model, config, hashes, path)
    return path


@pytest.fixture(scope="module")
def saved_once(bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = config_of("equivariant")
    path = tmp_path_factory.mktemp("saved") / "equivariant.safetensors"
    return save(build(config, bases), config, bases, path)


@pytest.fixture
def saved(saved_once: Path, tmp_path: Path) -> Path:
    """The weights of an equivariant model, its config beside them."""
    shutil.copy(saved_once.with_suffix(".json"), tmp_path)
    return Path(shutil.copy(saved_once, tmp_path))


def image_matrices(folder: Path, group: str) -> list[torch.Tensor]:
    rho = eb.load_basis(basis_file(folder, group, ("14x14", "6x6"))).space.input
    return [torch.from_numpy(rho.matrix(g).toarray()).float() for g in range(rho.order)]


def breach(model: Autoencoder, folder: Path, group: str) -> float:
    """max over g of ‖f(ρ(g) x) - ρ(g) f(x)‖ / ‖f(x)‖."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(6, 196, generator=generator)
    with torch.inference_mode():
        y = model(x)
        return max(
            float(((model(x @ rho.T) - y @ rho.T).norm(dim=1) / y.norm(dim=1)).max())
            for rho in image_matrices(folder, group)
        )


# --- symmetry ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "group", "bias", "start"),
    [
        ("equivariant", "c4", "invariant", "reference"),
        ("equivariant", "d4", "scalar", "variance"),
        ("equivariant", "c4", "none", "variance"),
        ("equivariant_attention", "d4", "invariant", "variance"),
        ("equivariant_attention", "c4", "scalar", "reference"),
        ("equivariant_attention", "d4", "none", "reference"),
    ],
)
def test_f_of_rho_x_is_rho_f_of_x_at_any_random_start(
    model: str, group: str, bias: Any, start: Any, bases: Path
) -> None:
    config = config_of(model, group, bias=bias, start=start)
    assert breach(build(config, bases), bases, group) < 1e-5


@pytest.mark.parametrize("model", ["standard", "standard_augmented"])
def test_plain_models_are_not_equivariant(model: str, bases: Path) -> None:
    assert breach(build(config_of(model), bases), bases, "c4") > 0.1


def test_a_model_of_the_rotations_does_not_respect_reflections(bases: Path) -> None:
    assert breach(build(config_of("equivariant", "c4"), bases), bases, "d4") > 0.01


@pytest.mark.parametrize("model", MODELS)
def test_images_go_in_and_images_come_out(model: str, bases: Path) -> None:
    x = torch.rand(5, 196)
    autoencoder = build(config_of(model), bases)
    assert autoencoder(x).shape == x.shape
    assert autoencoder.encoder(x).shape == (5, 9)


@pytest.mark.parametrize("group", ["c4", "d4"])
def test_turning_an_image_permutes_its_attention(group: str, bases: Path) -> None:
    encoder = build(config_of("equivariant_attention", group), bases).encoder
    assert isinstance(encoder, AttentionEncoder)
    with torch.no_grad():
        encoder.pool.query.normal_()
    x = torch.rand(3, 196)
    matrices = image_matrices(bases, group)
    with torch.inference_mode():
        attention = encoder.attention(x)
        assert attention.shape == (3, len(matrices))
        torch.testing.assert_close(attention.sum(dim=1), torch.ones(3))
        assert attention.std(dim=1).min() > 1e-3
        for rho in matrices:
            moved = encoder.attention(x @ rho.T)
            torch.testing.assert_close(moved.sort(dim=1)[0], attention.sort(dim=1)[0])


# --- what a model is made of ---------------------------------------------------------------------

# Ranks for c4: 14x14 -> 6x6 and back 1764, 6x6 -> 3x3 and back 81, 3x3 -> 3x3 21;
# invariants of 3x3, 6x6 and 14x14: 3, 9 and 49.
PARAMETERS = {
    ("standard", "invariant"): 15_037,
    ("standard_augmented", "invariant"): 15_037,
    ("equivariant", "invariant"): 2 * (1764 + 81) + 9 + 3 + 9 + 49,
    ("equivariant", "scalar"): 2 * (1764 + 81) + 4,
    ("equivariant", "none"): 2 * (1764 + 81),
    ("equivariant_attention", "invariant"): 2 * (1764 + 81) + 9 + 3 + 9 + 49 + 9 + 21 + 3 * 9 + 3,
    ("equivariant_attention", "scalar"): 2 * (1764 + 81) + 4 + 9 + 21 + 3 * 9 + 1,
    ("equivariant_attention", "none"): 2 * (1764 + 81) + 9 + 21 + 3 * 9,
}


@pytest.mark.parametrize(("model", "bias"), PARAMETERS)
def test_a_model_has_as_many_parameters_as_its_bases_have_columns(
    model: str, bias: Any, bases: Path
) -> None:
    autoencoder = build(config_of(model, bias=bias), bases)
    assert sum(p.numel() for p in autoencoder.parameters()) == PARAMETERS[model, bias]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("bias", ["invariant", "scalar", "none"])
def test_no_basis_is_loaded_that_is_not_used(model: str, bias: Any, bases: Path) -> None:
    config = config_of(model, bias=bias)
    needed = bases_needed(config)
    assert len(set(needed)) == len(needed)
    found = load_bases(config, bases)
    from_bases(config, found)
    for key in needed:
        with pytest.raises((KeyError, eb.ModelError)):
            from_bases(config, {k: b for k, b in found.items() if k != key})


@pytest.mark.parametrize("model", MODELS)
def test_a_model_cannot_be_built_without_saying_of_which_bases(model: str) -> None:
    with pytest.raises(TypeError, match="folder"):
        build_model(config_of(model))  # type: ignore[call-arg]


def test_attention_needs_all_elements_of_the_group_and_says_so() -> None:
    config = AutoencoderConfig("equivariant_attention", 12, (12, 12), "s12")
    found = {key: eb.solve("s12", input=key[0], output=key[1]) for key in bases_needed(config)}
    with pytest.raises(eb.ModelError, match="too many to list") as caught:
        equivariant_autoencoder(config, found)
    one_line(caught)
    equivariant_autoencoder(replace(config, model="equivariant"), found)


def test_every_parameter_of_a_model_is_trained(bases: Path) -> None:
    for name in MODELS:
        model = build(config_of(name), bases)
        with torch.no_grad():  # a query of zero would look only at the mean
            for parameter in model.parameters():
                parameter.add_(0.01)
        model(torch.rand(4, 196)).square().sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters()), name


def test_an_unknown_model_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(eb.ModelError) as caught:
        model_config(Parameters(), "transformer")
    assert all(name in str(caught.value) for name in ("transformer", *MODELS))


# --- saving and loading --------------------------------------------------------------------------


@pytest.mark.parametrize("bias", ["invariant", "scalar", "none"])
@pytest.mark.parametrize("model", MODELS)
def test_what_is_loaded_equals_what_was_saved_to_the_last_bit(
    model: str, bias: Any, bases: Path, tmp_path: Path
) -> None:
    config = config_of(model, bias=bias)
    autoencoder = build(config, bases, seed=7)
    path = save(autoencoder, config, bases, tmp_path / f"{model}.safetensors")
    loaded, its_config = load_autoencoder(path, bases)
    assert its_config == config
    assert not loaded.training
    state, expected = loaded.state_dict(), autoencoder.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    x = torch.rand(4, 196)
    assert torch.equal(loaded(x), autoencoder(x))


@pytest.mark.parametrize("model", MODELS)
def test_saving_twice_gives_the_same_bytes(model: str, bases: Path, tmp_path: Path) -> None:
    config = config_of(model)
    first = save(build(config, bases, seed=1), config, bases, tmp_path / "a.safetensors")
    second = save(build(config, bases, seed=1), config, bases, tmp_path / "b.safetensors")
    other = save(build(config, bases, seed=2), config, bases, tmp_path / "c.safetensors")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()
    texts = [path.with_suffix(".json").read_bytes() for path in (first, second, other)]
    assert texts[0] == texts[1] == texts[2]


def test_a_loaded_model_saves_to_the_bytes_it_was_loaded_from(
    saved: Path, bases: Path, tmp_path: Path
) -> None:
    model, config = load_autoencoder(saved, bases)
    again = save(model, config, bases, tmp_path / "again.safetensors")
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("model", MODELS)
def test_a_weights_file_holds_the_parameters_and_what_they_are_of(
    model: str, bases: Path, tmp_path: Path
) -> None:
    config = config_of(model)
    autoencoder = build(config, bases)
    path = save(autoencoder, config, bases, tmp_path / "weights.safetensors")
    # safetensors: the length of the header, the header in JSON, the numbers.
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    state = autoencoder.state_dict()
    shapes = {name: list(p.shape) for name, p in autoencoder.named_parameters()}
    names = {name: [len(state[name])] for name in state if name.endswith("_extra_state")}
    assert bool(names) == config.is_equivariant
    assert {name: entry["shape"] for name, entry in header.items()} == shapes | names
    assert {header[name]["dtype"] for name in shapes} == {"F32"}
    assert {header[name]["dtype"] for name in names} <= {"U8"}
    numbers = sum(p.numel() for p in autoencoder.parameters())
    assert len(content) == 8 + length + 4 * numbers + sum(size for (size,) in names.values())
    with safetensors.safe_open(path, "np") as file:
        assert sorted(file.keys()) == sorted(state)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["weights.json", "weights.safetensors"]


def test_the_config_records_each_basis_by_its_content(saved: Path, bases: Path) -> None:
    record = json.loads(saved.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["parameters"] == PARAMETERS["equivariant", "invariant"]
    assert record["bases"].keys() == {
        "equivariant/c4_14x14_to_6x6.h5",
        "equivariant/c4_6x6_to_3x3.h5",
        "equivariant/c4_3x3_to_6x6.h5",
        "equivariant/c4_6x6_to_14x14.h5",
        "invariant/c4_3x3.h5",
        "invariant/c4_6x6.h5",
        "invariant/c4_14x14.h5",
    }
    for name, digest in record["bases"].items():
        assert digest == eb.content_sha256(eb.load_basis(bases / name))


def test_weights_load_with_a_basis_that_another_solver_found(
    saved: Path, bases: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "resolved"
    shutil.copytree(bases, folder)
    path = folder / "equivariant" / "c4_14x14_to_6x6.h5"
    before = path.read_bytes()
    eb.save_basis(eb.solve("c4", input="14x14", output="6x6", solver="svd"), path)
    assert path.read_bytes() != before  # the solver's name
    x = torch.rand(2, 196)
    assert torch.equal(load_autoencoder(saved, folder)[0](x), load_autoencoder(saved, bases)[0](x))


# --- bases that are missing or other ones --------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert message
    assert "\n" not in message
    return message


@pytest.fixture
def altered(bases: Path, tmp_path: Path) -> Path:
    """A copy of the bases to spoil."""
    return Path(shutil.copytree(bases, tmp_path / "bases"))


def test_a_missing_basis_names_the_command_that_solves_it(saved: Path, altered: Path) -> None:
    path = altered / "equivariant" / "c4_6x6_to_3x3.h5"
    path.unlink()
    command = f"equibasis solve {path} --group c4 --input 6x6 --output 3x3"
    with pytest.raises(eb.BasisFileError) as caught:
        load_bases(config_of("equivariant"), altered)
    assert command in one_line(caught)
    with pytest.raises(eb.BasisFileError) as caught:
        load_autoencoder(saved, altered)
    assert command in one_line(caught)


def test_missing_invariants_name_the_command_that_solves_them(altered: Path) -> None:
    path = altered / "invariant" / "c4_6x6.h5"
    path.unlink()
    with pytest.raises(eb.BasisFileError) as caught:
        load_bases(config_of("equivariant"), altered)
    assert f"equibasis solve {path} --group c4 --output 6x6" in one_line(caught)
    load_bases(config_of("equivariant", bias="scalar"), altered)


@pytest.mark.parametrize(
    "other",
    [
        "equivariant/d4_14x14_to_6x6.h5",
        "equivariant/c4_6x6_to_14x14.h5",
        "invariant/c4_6x6.h5",
    ],
)
def test_the_basis_of_another_problem_under_the_name_is_refused(
    other: str, saved: Path, altered: Path
) -> None:
    path = altered / "equivariant" / "c4_14x14_to_6x6.h5"
    shutil.copy(altered / other, path)
    held = eb.load_basis(path).space
    for message in refusals(saved, altered):
        assert str(held) in message
        assert "equibasis solve" in message


def refusals(saved: Path, altered: Path) -> Iterator[str]:
    """The one line of each way to load a basis that is not the right one."""
    for load in (
        lambda: load_bases(config_of("equivariant"), altered),
        lambda: load_autoencoder(saved, altered),
    ):
        with pytest.raises(eb.BasisFileError) as caught:
            load()
        yield one_line(caught)


def turned_clockwise(array: np.ndarray, element: str) -> np.ndarray:
    return np.rot90(array, -int(element[1:]) // 90)


@pytest.mark.parametrize(("input_", "output"), [("6x6", "3x3"), (None, "6x6")])
@pytest.mark.parametrize(
    ("names", "transform"),
    [
        (("r0", "r90", "r180", "r270"), turned_clockwise),
        (("r0", "r270", "r180", "r90"), lambda x, g: np.rot90(x, int(g[1:]) // 90)),
    ],
    ids=["other transforms", "other elements"],
)
def test_a_basis_of_a_users_group_is_not_taken_for_that_of_a_built_in_one_of_its_name(
    input_, output, names, transform, saved: Path, altered: Path
) -> None:
    path = basis_file(altered, "c4", (input_, output))
    assert path.is_file()
    eb.save_basis(
        eb.solve(eb.Group("c4", names, transform, axes=2), input=input_, output=output), path
    )
    for message in refusals(saved, altered):
        assert "of another group than the built-in c4: make the right one with" in message


def test_a_basis_of_a_users_group_that_acts_as_the_built_in_one_is_as_good(altered: Path) -> None:
    mine = eb.Group(
        "c4", ("r0", "r90", "r180", "r270"), lambda x, g: np.rot90(x, int(g[1:]) // 90), axes=2
    )
    for key in ((None, "6x6"), ("6x6", "3x3")):
        eb.save_basis(eb.solve(mine, input=key[0], output=key[1]), basis_file(altered, "c4", key))
    load_bases(config_of("equivariant"), altered)


def test_weights_refuse_another_basis_of_the_same_problem(saved: Path, bases: Path) -> None:
    path = saved.with_suffix(".json")
    record = json.loads(path.read_text(encoding="utf-8"))
    record["bases"]["equivariant/c4_6x6_to_3x3.h5"] = "0" * 64
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(eb.ModelError) as caught:
        load_autoencoder(saved, bases)
    message = one_line(caught)
    assert "equivariant/c4_6x6_to_3x3.h5" in message
    assert "python pipeline train equivariant" in message


def test_weights_refuse_a_basis_that_their_config_does_not_record(saved: Path, bases: Path) -> None:
    path = saved.with_suffix(".json")
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["bases"]["invariant/c4_3x3.h5"]
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(eb.ModelError, match=r"invariant/c4_3x3\.h5"):
        load_autoencoder(saved, bases)


def test_a_damaged_basis_is_refused(saved: Path, altered: Path) -> None:
    path = altered / "invariant" / "c4_3x3.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(eb.BasisFileError, match=r"c4_3x3\.h5"):
        load_autoencoder(saved, altered)


# --- weights and configs that are missing or damaged ---------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_missing_file_names_the_command_that_trains_it(
    suffix: str, saved: Path, bases: Path
) -> None:
    saved.with_suffix(suffix).unlink()
    with pytest.raises(eb.ModelError) as caught:
        load_autoencoder(saved, bases)
    message = one_line(caught)
    assert str(saved.with_suffix(suffix)) in message
    assert "python pipeline train equivariant" in message


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a small standard model, which needs no bases."""
    config = AutoencoderConfig("standard", 3, (2, 1))
    path = tmp_path_factory.mktemp("standard") / "standard.safetensors"
    torch.manual_seed(0)
    save_model(plain_autoencoder(config), config, {}, path)
    load_autoencoder(path)
    return path


def spoiled(standard: Path, weights: bytes | None = None, config: str | None = None) -> Path:
    """A copy of the standard model, one of its files replaced."""
    path = standard.parent / "spoiled.safetensors"
    path.write_bytes(standard.read_bytes() if weights is None else weights)
    text = standard.with_suffix(".json").read_text(encoding="utf-8") if config is None else config
    path.with_suffix(".json").write_text(text, encoding="utf-8")
    return path


@given(st.floats(0, 1, exclude_max=True))
def test_weights_cut_short_anywhere_are_refused(standard: Path, share: float) -> None:
    content = standard.read_bytes()
    path = spoiled(standard, weights=content[: int(share * len(content))])
    with pytest.raises(eb.ModelError) as caught:
        load_autoencoder(path)
    message = one_line(caught)
    assert str(path) in message
    assert "python pipeline train standard" in message


@given(st.data())
def test_weights_with_a_byte_changed_in_their_header_load_or_are_refused(
    standard: Path, data: st.DataObject
) -> None:
    content = bytearray(standard.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    position = data.draw(st.integers(0, 8 + length - 1))
    content[position] = data.draw(st.integers(0, 255))
    try:
        load_autoencoder(spoiled(standard, weights=bytes(content)))
    except eb.ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_weights_that_are_a_pickle_are_refused(standard: Path) -> None:
    path = spoiled(standard)
    torch.save(load_autoencoder(standard)[0].state_dict(), path)
    with pytest.raises(eb.ModelError):
        load_autoencoder(path)


def test_the_weights_of_another_model_are_refused(saved: Path, bases: Path) -> None:
    config = config_of("equivariant_attention")
    other = save(build(config, bases), config, bases, saved.with_name("other.safetensors"))
    shutil.copy(other, saved)
    with pytest.raises(eb.ModelError) as caught:
        load_autoencoder(saved, bases)
    assert "python pipeline train equivariant" in one_line(caught)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '"equivariant"', "\x00", '{"model": "standard"}', "[" * 100],
)
def test_a_damaged_config_is_refused(text: str, standard: Path) -> None:
    path = spoiled(standard, config=text)
    with pytest.raises(eb.ModelError) as caught:
        load_autoencoder(path)
    assert str(path.with_suffix(".json")) in one_line(caught)


@given(st.floats(0, 1, exclude_max=True))
def test_a_config_cut_short_anywhere_is_refused(standard: Path, share: float) -> None:
    text = standard.with_suffix(".json").read_text(encoding="utf-8").strip()
    path = spoiled(standard, config=text[: int(share * len(text))])
    with pytest.raises(eb.ModelError) as caught:
        load_autoencoder(path)
    one_line(caught)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.floats(-3, 3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@given(st.sampled_from(sorted(field.name for field in fields(AutoencoderConfig))), JSON_VALUES)
def test_a_config_with_any_value_in_any_field_loads_or_is_refused(
    standard: Path, field: str, value: Any
) -> None:
    record = json.loads(standard.with_suffix(".json").read_text(encoding="utf-8"))
    record[field] = value
    try:
        load_autoencoder(spoiled(standard, config=json.dumps(record)))
    except eb.ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("field", sorted(field.name for field in fields(AutoencoderConfig)))
def test_a_config_without_a_field_is_refused_naming_it(field: str, standard: Path) -> None:
    record = json.loads(standard.with_suffix(".json").read_text(encoding="utf-8"))
    del record[field]
    with pytest.raises(eb.ModelError, match=field):
        load_autoencoder(spoiled(standard, config=json.dumps(record)))


def test_a_config_of_another_size_does_not_fit_the_weights(saved: Path, bases: Path) -> None:
    path = saved.with_suffix(".json")
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(record | {"bias": "scalar"}), encoding="utf-8")
    with pytest.raises(eb.ModelError) as caught:
        load_autoencoder(saved, bases)
    assert "python pipeline train equivariant" in one_line(caught)


def refused(path: Path) -> str:
    """Why a model is refused: one line that names the file and the remedy."""
    with pytest.raises(eb.ModelError) as caught:
        load_autoencoder(path)
    message = one_line(caught)
    assert "python pipeline train" in message
    return message


RECORDS = {
    "a key too many": ({"command": "rm"}, "command: Unexpected keyword argument, not 'rm'"),
    "group no text": ({"group": ["c4"]}, "group: Input should be a valid string, not ['c4']"),
    "group of two lines": ({"group": "c4\nc2"}, "group: String should match pattern"),
    "group null": ({"group": None}, "group: Input should be a valid string"),
    "sizes as text": ({"hidden_sizes": "21"}, "hidden_sizes: Input should be a valid tuple"),
    "sizes by name": ({"hidden_sizes": {"2": 1}}, "hidden_sizes: Input should be a valid tuple"),
    "sizes a truth": (
        {"hidden_sizes": [2, True]},
        "hidden_sizes.1: Input should be a valid integer",
    ),
    "one size": ({"hidden_sizes": [2]}, "hidden_sizes.1: Field required"),
    "size of zero": (
        {"image_size": 0},
        "image_size: Input should be greater than or equal to 1, not 0",
    ),
    "size infinite": ({"image_size": float("inf")}, "image_size: Input should be"),
    "size of many digits": ({"image_size": 10**400}, "image_size: "),
    "another model": ({"model": "equivariants"}, "model: Input should be 'standard', "),
    "model a list": ({"model": ["standard"]}, "model: Input should be 'standard', "),
    "half a character": ({"group": "\ud800"}, "group: "),
    "bias": ({"bias": "some"}, "bias: Input should be 'invariant', 'scalar' or 'none', not 'some'"),
    "bases a list": ({"bases": ["x"]}, "bases: Input should be a valid dictionary"),
    "bases null": ({"bases": None}, "bases: Input should be a valid dictionary"),
    "hash a number": ({"bases": {"x": 5}}, "bases.x: Input should be a valid string, not 5"),
    "parameters text": ({"parameters": "many"}, "parameters: Input should be a valid integer"),
}


@pytest.mark.parametrize(("change", "said"), RECORDS.values(), ids=RECORDS)
def test_a_config_with_a_slip_is_refused_naming_it(
    change: dict[str, Any], said: str, standard: Path
) -> None:
    record = json.loads(standard.with_suffix(".json").read_text(encoding="utf-8"))
    path = spoiled(standard, config=json.dumps(record | change))
    with pytest.raises(eb.ModelError, match=re.escape(said)):
        load_autoencoder(path)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 50_000, "9" * 10_000, " " * 2**21, "\ufeff{}", '"\ud800"'],
    ids=["brackets", "objects", "digits", "blanks", "byte order mark", "half a character"],
)
def test_a_config_made_to_do_harm_is_refused(text: str, standard: Path) -> None:
    path = spoiled(standard)
    path.with_suffix(".json").write_bytes(text.encode("utf-8", "surrogatepass"))
    refused(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have names on POSIX")
@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_pipe_or_folder_in_place_of_a_file_is_refused(
    suffix: str, standard: Path, tmp_path: Path
) -> None:
    path = tmp_path / "standard.safetensors"
    for make in (os.mkfifo, os.mkdir, lambda name: Path(name).symlink_to("/dev/zero")):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        for each in (".json", ".safetensors"):
            shutil.copy(standard.with_suffix(each), path.with_suffix(each))
        path.with_suffix(suffix).unlink()
        make(path.with_suffix(suffix))
        with pytest.raises(eb.ModelError) as caught:
            load_autoencoder(path)
        message = one_line(caught)
        assert message == f"cannot read {path.with_suffix(suffix)}: it is not a regular file"


def test_a_config_cannot_ask_for_more_memory_than_its_weights_have(standard: Path) -> None:
    record = json.loads(standard.with_suffix(".json").read_text(encoding="utf-8"))
    huge = json.dumps(record | {"image_size": 1024, "hidden_sizes": [1024, 1024]})
    assert "bytes of weights are needed" in refused(spoiled(standard, config=huge))


def with_state(standard: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    state = safetensors.torch.load(standard.read_bytes())
    change(state)
    return spoiled(standard, weights=safetensors.torch.save(state))


FIRST = "encoder.0.weight"

STATES = {
    "NaN": (lambda s: s[FIRST].view(-1)[3:4].fill_(float("nan")), "not finite"),
    "infinity": (lambda s: s[FIRST].view(-1)[3:4].fill_(float("inf")), "not finite"),
    "float64": (lambda s: s.__setitem__(FIRST, s[FIRST].double()), "torch.float64, not"),
    "integers": (lambda s: s.__setitem__(FIRST, s[FIRST].long()), "torch.int64, not"),
    "a weight too many": (lambda s: s.__setitem__("extra", torch.ones(1)), "cannot read"),
    "a weight missing": (lambda s: s.pop(FIRST), "cannot read"),
    "another shape": (lambda s: s.__setitem__(FIRST, s[FIRST].T.contiguous()), "cannot read"),
    "none": (dict.clear, "cannot read"),
}


@pytest.mark.parametrize(("change", "said"), STATES.values(), ids=STATES)
def test_weights_of_another_kind_are_refused(
    change: Callable[[dict[str, Tensor]], object], said: str, standard: Path
) -> None:
    assert said in refused(with_state(standard, change))


def header(text: str, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text.encode() + data


def entry(**changes: object) -> str:
    return json.dumps(
        {FIRST: {"dtype": "F32", "shape": [4, 9], "data_offsets": [0, 144]} | changes}
    )


HEADERS = {
    "beyond the end": struct.pack("<Q", 2**63) + b"{}",
    "all there is": struct.pack("<Q", 2**64 - 1) + b"{}",
    "no JSON": header("{'a': 1}"),
    "nested": header("[" * 100_000),
    "a list": header("[]"),
    "offsets beyond the end": header(entry(data_offsets=[0, 2**40]), bytes(144)),
    "offsets backwards": header(entry(data_offsets=[144, 0]), bytes(144)),
    "offsets negative": header(entry(data_offsets=[-144, 0]), bytes(144)),
    "a hole": header(entry(data_offsets=[8, 152]), bytes(152)),
    "shape of more": header(entry(shape=[4, 2**60]), bytes(144)),
    "shape that wraps around": header(entry(shape=[2**32, 2**32]), bytes(144)),
    "shape negative": header(entry(shape=[-4, -9]), bytes(144)),
    "an unknown type": header(entry(dtype="PICKLE"), bytes(144)),
    "a type of 8 bits": header(entry(dtype="F8_E4M3", data_offsets=[0, 36]), bytes(36)),
    "one name twice": header(f"{entry()[:-1]}, {entry()[1:]}", bytes(144)),
    "text behind it": header(entry() + "x", bytes(144)),
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_weights_made_to_do_harm_are_refused(content: bytes, standard: Path) -> None:
    refused(spoiled(standard, weights=content))


@given(st.data())
def test_weights_with_anything_changed_load_or_are_refused(
    standard: Path, data: st.DataObject
) -> None:
    content = bytearray(standard.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + data.draw(st.integers(0, 64))] = data.draw(st.binary(max_size=64))
    try:
        load_autoencoder(spoiled(standard, weights=bytes(content)))
    except eb.ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_nothing_in_the_package_unpickles() -> None:
    """But for what a process sends to those that work for it."""
    calls = Path(eb.__file__).parent / "symmetry" / "calls.py"
    for source in {*Path(eb.__file__).parent.rglob("*.py")} - {calls}:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        named = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        assert not called & {
            "pickle.load",
            "pickle.loads",
            "pickle.Unpickler",
            "torch.load",
            "torch.save",
            "joblib.load",
            "np.load",
            "numpy.load",
            "yaml.load",
            "eval",
            "exec",
        }, source
        assert "allow_pickle=True" not in named, source
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        assert not imported & {"dill", "cloudpickle", "joblib", "marshal", "shelve"}, source


def test_a_model_cannot_be_saved_where_there_is_no_folder(bases: Path, tmp_path: Path) -> None:
    config = replace(config_of("standard"), image_size=3, hidden_sizes=(2, 1))
    model = plain_autoencoder(config)
    with pytest.raises(eb.WriteError, match="nowhere"):
        save_model(model, config, {}, tmp_path / "nowhere" / "standard.safetensors")

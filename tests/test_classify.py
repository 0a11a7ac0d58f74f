"""The classifiers: invariant by construction, trained and measured on real digits."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import equibasis as eb
from digits.build import build_model
from digits.classifiers import Classifier, classifier
from digits.config import (
    KERNEL_SIZES,
    ClassifierConfig,
    bases_needed,
    classifier_config,
    kernels_along,
    model_config,
)
from digits.data import CLASSES, Digits, fetch, resize, save_digits
from digits.figures import confusion_figure, kernels_figure, symmetries_figure
from digits.fitting import (
    Training,
    as_images,
    as_labels,
    classification_error,
    compute_reproducibly,
)
from digits.moving import moved, random_mirrors, random_turns, square_symmetries
from digits.parameters import Parameters, load_parameters
from digits.stages import kernels, train
from digits.stages.evaluate_classifiers import (
    SYMMETRIES,
    answers_to_all,
    measure,
    predictions,
)
from digits.stages.report_classifiers import accuracy_table
from digits.weights import load_classifier, save_model
from projects import REPOSITORY

GROUPS = {"trivial": 1, "c4": 4, "d4": 8}  # and their orders


@pytest.fixture(autouse=True)
def reproducible() -> Iterator[None]:
    """As the stages compute, and afterwards as before."""
    threads = torch.get_num_threads()
    compute_reproducibly()
    yield
    torch.set_deterministic_debug_mode("default")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits() -> Digits:
    """Some of the real ones."""
    train, test = fetch("mnist5k", "unused")
    images = resize(train.images[:500], 14), resize(test.images[:100], 14)
    return Digits(*images, 14, train.labels[:500], test.labels[:100])


@pytest.fixture(scope="module")
def images(digits: Digits) -> Tensor:
    return as_images(digits.train)


@pytest.fixture(scope="module")
def labels(digits: Digits) -> Tensor:
    return as_labels(digits.train_labels)


def small(
    group: str, size: int = 14, seed: int = 0, fields: tuple[int, int, int] = (3, 2, 4)
) -> Classifier:
    """A classifier of few fields at its random start."""
    config = ClassifierConfig("cnn", size, group, fields)
    needed = bases_needed(config)
    torch.manual_seed(seed)
    found = classifier(
        config, {key: eb.solve(group, input=key[0], output=key[1]) for key in needed}
    )
    return found.eval()


def training(model: nn.Module, images: Tensor, labels: Tensor, **choices: Any) -> Training:
    usual = {"lr": 0.01, "batch_size": 50, "seed": 5, "decay_over": 4}
    return Training(model, images, labels, **(usual | choices))


# --- what they are -------------------------------------------------------------------------------


def test_all_have_about_as_many_parameters_and_one_has_the_channels_of_the_plain_one() -> None:
    counts, channels = {}, {}
    parameters = load_parameters(REPOSITORY / "params.yaml")
    for name in parameters.classify.models:
        config = classifier_config(parameters, name)
        solved = [
            eb.solve(config.group, input=input_, output=output)
            for input_, output in bases_needed(config)
        ]
        model = classifier(config, dict(zip(bases_needed(config), solved, strict=True)))
        counts[name] = sum(parameter.numel() for parameter in model.parameters())
        channels[name] = [fields.dimension for fields in model.fields]
        assert channels[name] == [GROUPS[config.group] * count for count in config.fields]
        assert counts[name] == (
            sum(kernel.rank for kernel in solved)
            + 2 * sum(config.fields)  # of batch normalization
            + CLASSES * (config.fields[-1] + 1)
        )
    for name, share in (("cnn_c4_narrow", 0.26), ("cnn_d4_narrow", 0.14)):
        assert channels[name] == pytest.approx(channels["cnn"], abs=4)
        assert counts.pop(name) < share * counts["cnn"]
    assert channels["cnn_c4_narrow"] == channels["cnn"] == channels["cnn_augmented"]
    assert all(abs(count / 24_000 - 1) < 0.02 for count in counts.values())


@pytest.mark.parametrize("size", [1, 2, 6, 7, 14, 15])
@pytest.mark.parametrize("group", GROUPS)
def test_an_answer_is_the_same_however_the_group_moves_the_digit(group: str, size: int) -> None:
    torch.manual_seed(size)
    x = torch.rand(3, size * size)
    model = small(group, size).double()
    with torch.inference_mode():
        answers = answers_to_all(model, x.double())
    assert answers.shape == (8, 3, CLASSES)
    for answer in answers[: GROUPS[group]]:
        torch.testing.assert_close(answer, answers[0], rtol=0, atol=1e-12)
    if size > 2:
        others = answers[GROUPS[group] :]
        assert all((answer - answers[0]).abs().max() > 1e-6 for answer in others)


def test_of_the_trivial_group_it_is_a_plain_network_of_torch(images: Tensor) -> None:
    model = small("trivial").train()
    layers: list[nn.Module] = []
    channels = (1, 3, 2, 4)
    for (here, there), size in zip(itertools.pairwise(channels), KERNEL_SIZES, strict=True):
        convolution = nn.Conv2d(here, there, size, padding="same", bias=False)
        layers += [convolution, nn.BatchNorm2d(there), nn.ReLU()]
    layers.insert(3, nn.AvgPool2d(2))
    plain = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))
    ours = [layer for layer in model.convolutions.layers if hasattr(layer, "to_conv")]
    theirs = [layer for layer in plain if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for mine, its in zip(ours, theirs, strict=True):
            its.weight.copy_(mine.weight())  # type: ignore[operator]
        plain[-1].load_state_dict(model.head.layers[-1].module.state_dict())  # type: ignore[union-attr,operator]
        x = images[:40]
        torch.testing.assert_close(model(x), plain(x.view(-1, 1, 14, 14)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("group", GROUPS)
def test_the_kernels_of_a_field_are_one_kernel_moved_by_each_element(group: str) -> None:
    first = small(group).first_kernels().unflatten(0, (-1, GROUPS[group])).flatten(2)
    assert first.shape == (3, GROUPS[group], 25)
    for field in first.numpy():
        every = field[0][square_symmetries(5)[: GROUPS[group]]]
        assert sorted(map(tuple, field)) == sorted(map(tuple, every))


def test_kernels_are_those_of_the_fields_in_a_row() -> None:
    assert kernels_along([8, 16, 18]) == [
        ("5x5", "8*regular"),
        ("8*(regular*5x5)", "16*regular"),
        ("16*(regular*3x3)", "18*regular"),
    ]


def test_a_config_that_is_none_is_refused() -> None:
    for name in ("", "../cnn", 3):
        with pytest.raises(ValueError, match=r"String should match|valid string"):
            ClassifierConfig(name, 14, "c4", (1, 1, 1))  # type: ignore[arg-type]
    for fields in ((1, 2), (1, 2, 0), (1, 2, True), (1, 2, 2000)):
        with pytest.raises(ValueError, match=r"Field required|Input should be"):
            ClassifierConfig("cnn", 14, "c4", fields)  # type: ignore[arg-type]
    with pytest.raises(eb.ModelError, match=r"unknown model 'cnn_c8': choose standard, .*cnn_d4"):
        model_config(SMALL, "cnn_c8")


# --- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["trivial", "c4"])
def test_a_few_epochs_teach_digits_whether_turned_or_not(
    group: str, digits: Digits, images: Tensor, labels: Tensor
) -> None:
    model = small(group, fields=(4, 8, 8))
    run = training(model, images, labels, lr=0.03, batch_size=25, decay_over=8)
    losses = [run.epoch() for _ in range(8)]
    assert losses[-1] < 0.6 * losses[0]
    unseen, shown = as_images(digits.test), as_labels(digits.test_labels)
    upright = classification_error(model, unseen, shown)
    turned = classification_error(model, moved(unseen, random_turns(100, 0)), shown)
    assert upright < 0.5
    if group == "c4":
        assert turned == upright
    else:
        assert turned > upright + 0.1


def test_the_classification_error_is_the_share_of_wrong_answers_for_any_batch_size() -> None:
    answers = torch.eye(10)[[3, 1, 4, 1, 5, 9, 2, 6]]
    shown = torch.tensor([3, 1, 4, 1, 5, 9, 0, 0])
    for batch_size in (1, 3, 8, 100):
        assert classification_error(nn.Identity(), answers, shown, batch_size) == 0.25


@pytest.mark.parametrize("augment", [False, True])
def test_training_set_down_after_any_epoch_is_taken_up_to_the_last_bit(
    augment: bool, images: Tensor, labels: Tensor
) -> None:
    x, y = images[:120], labels[:120]
    whole = training(small("c4"), x, y, augment=augment)
    states, errors = [], []
    for _ in range(4):
        errors.append(whole.epoch())
        states.append(copy.deepcopy(whole.state()))
    for done in (1, 3):
        again = training(small("c4", seed=9), x, y, augment=augment, seed=17)
        again.resume(states[done - 1])
        for epoch in range(done, 4):
            assert again.epoch() == errors[epoch]
            torch.testing.assert_close(again.state(), states[epoch], rtol=0, atol=0)


def test_the_learning_rate_falls_to_zero_along_a_cosine() -> None:
    class Weight(nn.Module):
        """Of one weight, drawn so far away that Adam moves it by the learning rate each time."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return self.weight.expand(x.shape)

    far = torch.full((10, 1), 1e9, dtype=torch.float64)
    model = Weight()
    run = Training(model, far, lr=0.1, batch_size=3, seed=0, decay_over=3)  # in 12 steps
    expected = 0.1 * (1 + np.cos(np.pi * np.arange(12) / 12)) / 2
    for epoch in range(3):
        run.epoch()
        assert model.weight.item() == pytest.approx(expected[: 4 * epoch + 4].sum(), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_training_that_diverges_names_the_parameter_to_lower(
    images: Tensor, labels: Tensor
) -> None:
    run = training(small("c4"), images[:100], labels[:100], lr=1e38, decay_over=None)
    losses = (run.epoch() for _ in range(20))
    with pytest.raises(eb.ModelError, match=r"lower classify\.lr"):
        list(losses)


# --- the stages ----------------------------------------------------------------------------------


@pytest.fixture
def project(digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project of prepared digits, as the current folder."""
    for folder in ("data", "models/classifiers", "reports"):
        (tmp_path / folder).mkdir(parents=True)
    save_digits(digits, tmp_path / "data" / "digits.h5")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = Parameters.model_validate(
    {
        "classify": {
            "epochs": 2,
            "models": {
                "cnn": {"group": "trivial", "fields": [2, 3, 4], "rotate": False},
                "cnn_augmented": {"group": "trivial", "fields": [2, 3, 4], "rotate": True},
                "cnn_c4": {"group": "c4", "fields": [1, 2, 2], "rotate": False},
                "cnn_d4": {"group": "d4", "fields": [1, 1, 2], "rotate": False},
            },
        }
    }
)


def test_the_kernels_of_a_classifier_are_all_that_it_is_built_on(project: Path) -> None:
    for name in SMALL.classify.models:
        kernels.run(SMALL, name)
        folder = project / "bases" / "kernels" / name
        assert len(list(folder.iterdir())) == 3
        _, hashes = build_model(classifier_config(SMALL, name), project / "bases")
        assert {project / "bases" / each for each in hashes} == set(folder.iterdir())


def test_kernels_of_no_classifier_are_refused_naming_those_there_are(project: Path) -> None:
    with pytest.raises(eb.ModelError, match=r"unknown classifier '../cnn': choose cnn, .*cnn_d4"):
        kernels.run(SMALL, "../cnn")
    assert not (project / "bases").exists()


def test_the_classifier_that_is_to_rotate_trains_on_turned_digits(project: Path) -> None:
    for name in ("cnn", "cnn_augmented"):
        kernels.run(SMALL, name)
        train.run(SMALL, name)
    paths = (
        project / "models" / "classifiers" / f"{each}.safetensors"
        for each in ("cnn", "cnn_augmented")
    )
    one, other = (path.read_bytes() for path in paths)
    assert one != other


def test_the_train_stage_gives_the_same_bytes_twice_and_goes_on_where_it_was(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernels.run(SMALL, "cnn_c4")
    monkeypatch.setattr("digits.checkpoints.EVERY", 1)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    written = []
    for interrupted in (False, True):
        if interrupted:
            with monkeypatch.context() as patch:
                patch.setattr(train, "save_model", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    train.run(SMALL, "cnn_c4")
        train.run(SMALL, "cnn_c4")
        assert ("going on after epoch 2" in capsys.readouterr().out) == interrupted
        files = [p for p in (project / "reports" / "curves").rglob("*") if p.is_file()]
        files += (project / "models" / "classifiers").iterdir()
        written.append({path: path.read_bytes() for path in files})
    assert written[0] == written[1]
    curves = project / "reports" / "curves" / "classifiers" / "cnn_c4" / "plots" / "metrics"
    assert sorted(path.name for path in curves.iterdir()) == ["test_error.tsv", "train_loss.tsv"]


def test_the_train_stage_without_kernels_names_the_command_that_solves_them(project: Path) -> None:
    with pytest.raises(eb.BasisFileError, match=r"equibasis solve bases/kernels/cnn_c4/c4_5x5_to"):
        train.run(SMALL, "cnn_c4")
    assert not list((project / "models").rglob("*.*"))


# --- on disk -------------------------------------------------------------------------------------


@pytest.fixture
def saved(project: Path) -> Path:
    """A classifier in its files, beside its kernels."""
    kernels.run(SMALL, "cnn_c4")
    config = classifier_config(SMALL, "cnn_c4")
    model, hashes = build_model(config, project / "bases")
    path = project / "models" / "classifiers" / "cnn_c4.safetensors"
    save_model(model, config, hashes, path)
    return path


def test_a_classifier_comes_back_as_it_was_saved(saved: Path, images: Tensor) -> None:
    model, config = load_classifier(saved)
    assert config == classifier_config(SMALL, "cnn_c4")
    again, _ = load_classifier(saved)
    assert torch.equal(model(images[:9]), again(images[:9]))
    record = json.loads(saved.with_suffix(".json").read_text())
    assert record["parameters"] == sum(p.numel() for p in model.parameters())
    assert len(record["bases"]) == 3


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("fields", 3, "fields: Input should be a valid tuple"),
        ("fields", [1, 2], r"fields\.2: Field required"),
        ("fields", [1024, 1024, 1024], "bytes of weights are needed"),
        ("group", 4, "group: Input should be a valid string"),
        ("model", "../cnn", "model: String should match pattern"),
        ("hidden_sizes", [6, 3], "hidden_sizes: Unexpected keyword argument"),
    ],
)
def test_a_config_with_a_slip_is_refused_naming_it(
    field: str, value: object, said: str, saved: Path
) -> None:
    path = saved.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(eb.ModelError, match=said) as caught:
        load_classifier(saved)
    assert "\n" not in str(caught.value)


def test_a_classifier_trained_on_another_kernel_is_refused(saved: Path) -> None:
    path = saved.with_suffix(".json")
    record = json.loads(path.read_text())
    first = min(record["bases"])
    record["bases"][first] = "0" * 64
    path.write_text(json.dumps(record))
    with pytest.raises(eb.ModelError, match=f"another {first} .*python pipeline train cnn_c4"):
        load_classifier(saved)


# --- measuring -----------------------------------------------------------------------------------


def test_turned_and_mirrored_digits_are_each_moved_as_the_seed_draws(images: Tensor) -> None:
    model, x = small("trivial"), images[:60]
    found = predictions(answers_to_all(model, x), seed=3)
    with torch.inference_mode():
        for name, moves in (
            ("upright", 0), ("turned", random_turns(60, 3)), ("mirrored", random_mirrors(60, 3)),
        ):  # fmt: skip
            assert torch.equal(found[name], model(moved(x, moves)).argmax(dim=1))


def test_accuracies_are_shares_of_right_answers_and_turns_and_mirrors_breach_by_themselves() -> (
    None
):
    shown = torch.tensor([0, 1, 2, 3])
    answers = torch.eye(4).expand(8, 4, 4).clone()
    answers[5] = answers[5].roll(1, 1)  # one of the mirrors confuses all
    answers[2, 0] *= 3  # a turn that changes an answer, but not which is the largest
    found = measure(answers, predictions(answers, seed=0), shown)
    assert found["upright"] == found["turned"] == {"accuracy": 1.0}
    share = (random_mirrors(4, 0) != 5).double().mean().item()
    assert found["mirrored"] == {"accuracy": share}
    assert list(found["symmetries"]) == list(SYMMETRIES)
    assert list(found["symmetries"].values()) == [1, 1, 1, 1, 1, 0, 1, 1]
    assert found["invariance_error"] == {"turns": 2.0, "mirrors": pytest.approx(2**0.5)}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_classifier_that_gives_nan_is_not_called_invariant(images: Tensor) -> None:
    answers = answers_to_all(small("c4"), images[:5]).clone()
    answers[1, 2, 3] = torch.nan
    with pytest.raises(eb.ModelError, match="NaN"):
        measure(answers, predictions(answers, 0), torch.zeros(5, dtype=torch.int64))


# --- reporting -----------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_classifier_and_a_dash_for_a_time_not_taken() -> None:
    row = {
        "channels": [32, 64, 72],
        "parameters": 23_642,
        "upright": {"accuracy": 0.971},
        "turned": {"accuracy": 0.97},
        "mirrored": {"accuracy": 0.4},
        "invariance_error": {"turns": 7e-7, "mirrors": 1.5},
    }
    table = accuracy_table({"cnn": row, "cnn_c4": row}, {"cnn_c4": "1.750"})
    console = Console(width=140)
    with console.capture() as capture:
        console.print(table)
    lines = [line.replace("│", " ").split() for line in capture.get().splitlines()]
    shown = ["32,", "64,", "72", "23,642", "0.9710", "0.9700", "0.4000", "7.0e-07", "1.5e+00"]
    assert ["cnn", *shown, "-"] in lines
    assert ["cnn,", "c4", *shown, "1.750"] in lines


def test_confusions_are_drawn_as_shares_of_each_digit() -> None:
    counts = np.array([[9, 1], [2, 3]])
    by_set = {"upright": counts, "turned": np.zeros((2, 2), dtype=np.int64)}
    figure = confusion_figure({"cnn": by_set, "cnn, c4": by_set})
    panels = [axes for axes in figure.axes if axes.get_images()][:4]
    np.testing.assert_allclose(panels[0].get_images()[0].get_array(), [[0.9, 0.1], [0.4, 0.6]])
    assert [panel.get_title() for panel in panels[:2]] == [
        "cnn\n80.0% right", "cnn, c4\n80.0% right",
    ]  # fmt: skip
    assert [panel.get_xlabel() for panel in panels] == ["", "", "taken for", "taken for"]
    assert panels[0].get_ylabel() == "upright: the digit"


def test_kernels_are_drawn_a_row_for_each_field_and_a_column_for_each_element() -> None:
    drawn_of = np.random.default_rng(0).normal(size=(3, 4, 5, 5))
    figure = kernels_figure({"c4": drawn_of, "one": drawn_of[:1, :1]}, {"c4": "abcd", "one": "e"})
    drawn = [axes.get_images()[0] for axes in figure.axes if axes.get_images()]
    assert len(drawn) == 13
    for image, kernel in zip(drawn, drawn_of.reshape(12, 5, 5), strict=False):
        np.testing.assert_array_equal(image.get_array(), kernel)
        low, high = image.get_clim()
        assert low == -high


def test_errors_are_drawn_in_percent_a_bar_for_each_model_and_symmetry() -> None:
    errors = {name: dict.fromkeys(SYMMETRIES, share) for name, share in (("a", 0.5), ("b", 0.25))}
    (axes,) = symmetries_figure(errors).axes
    assert [[bar.get_height() for bar in bars] for bars in axes.containers] == [[50] * 8, [25] * 8]
    assert [axes.get_xticklabels()[at].get_text() for at in (0, 5)] == ["upright", "mirror 90°"]

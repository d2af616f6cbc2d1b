"""Search spaces: what is meant is read, what cannot be is said before any training."""

from pathlib import Path

import pytest

from classifiers import TrainConfig
from ganfer.errors import ConfigError
from ganfer.tune.space import Choice, Span, load_space, shipped_spaces


@pytest.mark.parametrize(
    ("text", "key", "spec"),
    [
        ("lr=1e-4..1e-2:log", "lr", Span(1e-4, 1e-2, log=True)),
        ("classifier.dropout=0..0.6", "dropout", Span(0, 0.6)),
        ("epochs=10..50:10", "epochs", Span(10, 50, step=10, whole=True)),
        ("zoom = 0.0 .. 0.3 : 0.1", "zoom", Span(0.0, 0.3, step=0.1)),
        ("augment=light,strong", "augment", Choice(("light", "strong"))),
        ("batch_norm=true,false", "batch_norm", Choice((True, False))),
        ("dropout=none,0.5", "dropout", Choice((None, 0.5))),
    ],
)
def test_a_line_of_search(text: str, key: str, spec: object) -> None:
    space = load_space("default", [text], TrainConfig())
    assert dict(space.specs) == {key: spec}, "--search alone replaces the default space"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lrr=1..2", r"Unknown setting 'classifier.lrr'. Did you mean 'lr'"),
        ("lr", "is not KEY=SPEC"),
        ("lr=", "is not KEY=SPEC"),
        ("lr=a..b", "is no range"),
        ("lr=1e-2..1e-4", "LOW must be below HIGH"),
        ("dropout=0..0.5:log", "LOW must be above 0"),
        ("epochs=10..50:0", "The step must be above 0"),
        ("augment=light..strong", "is no range"),
        ("augment=light,heavy", "augment = 'heavy'"),
        ("dropout=0..2", "dropout = 2.0"),
        ("augment=1..2", "is not a number"),
        ("tensorboard=true,false", "changes no result"),
    ],
)
def test_what_cannot_be_is_said(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_space("default", [text], TrainConfig())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_shipped_space_is_sound(name: str) -> None:
    space = load_space(name, [], TrainConfig())
    assert space.specs
    assert space.base(TrainConfig()).tensorboard is False


def test_the_eight_class_table_is_a_grid_of_its_four_settings() -> None:
    space = load_space("eight-class", [], TrainConfig())
    assert set(space.specs) == {"dropout", "zoom", "batch_norm", "epochs"}
    assert space.sampler == "grid"
    grid = space.grid()
    assert len(grid) == 36 == len({tuple(row.items()) for row in grid})
    assert space.base(TrainConfig()).model == "cnn-8class"


def test_settings_of_the_user_come_before_the_spaces_own() -> None:
    config = TrainConfig(augment="strong")
    base = load_space("eight-class", ["lr=1e-3,1e-2"], config).base(config)
    assert (base.model, base.augment) == ("cnn-8class", "strong")


def test_a_file_and_lines_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'sampler = "random"\n[classifier]\nepochs = 3\n[search]\nlr = { low = 1e-4, high = 1e-2, log = true }\n'
    )
    space = load_space(str(path), ["dropout=0.1,0.2"], TrainConfig())
    assert (space.name, space.sampler, dict(space.fixed)) == ("mine", "random", {"epochs": 3})
    assert dict(space.specs) == {"lr": Span(1e-4, 1e-2, log=True), "dropout": Choice((0.1, 0.2))}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sampler = 'grid'\n[serch]\n", "unknown section 'serch'. Did you mean 'search'"),
        ("sampler = 'annealing'\n", "sampler = 'annealing'"),
        ("[search]\nlr = 3\n", "lr = 3"),
        ("[search]\n", "is empty"),
        ("[search\n", "not valid TOML"),
        ("[classifier]\nepoch = 3\n[search]\nlr = [1e-3]\n", "Did you mean 'epochs'"),
        ("[classifier]\nepochs = 0\n[search]\nlr = [1e-3]\n", "epochs = 0"),
    ],
)
def test_a_damaged_file_is_said(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_space(str(path), [], TrainConfig())


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'eight-class'"):
        load_space("eight-clas", [], TrainConfig())


def test_a_grid_needs_values_that_can_be_counted() -> None:
    space = load_space("default", ["lr=1e-4..1e-2", "epochs=1..3"], TrainConfig())
    with pytest.raises(ConfigError, match="cannot hold the range of 'lr'"):
        space.grid()
    assert Span(0.0, 0.3, step=0.1).values() == pytest.approx((0.0, 0.1, 0.2, 0.3))
    assert Span(1, 3, whole=True).values() == (1, 2, 3)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        (["epochs=1..2", "classifier.epochs=3..4"], "'epochs' twice"),
        (["epochs=1.5..2"], "whole numbers"),
        (["epochs=1..10:0.5"], "whole numbers"),
        (["model=fnn,nope"], "no model 'nope'"),
    ],
)
def test_a_search_that_could_not_be_carried_out_is_no_plan(search: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_space("default", search, TrainConfig())


@pytest.mark.parametrize("search", [["epochs=1..100000", "batch_size=1..65536"], ["lr=1e-7..1:1e-300"]])
def test_a_grid_beyond_all_trials_is_counted_not_built(search: list[str]) -> None:
    with pytest.raises(ConfigError, match="combinations"):
        load_space("default", search, TrainConfig()).grid()

"""Configs are strict: an unknown key, a wrong type or a value out of range is named, with what to do."""

import os
from pathlib import Path

import pytest

from ganfer.cli.options import _taken_settings
from ganfer.config import Config, GanConfig, configs_folder, field_of, load_config, shipped_configs
from ganfer.errors import ConfigError


def test_defaults_pass_their_own_checks() -> None:
    assert load_config() == Config()


def test_file_then_override(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 3\n[gan]\nsteps = 10\nbatch_size = 8\n")
    config = load_config(file, ["gan.steps=20", "label.min_confidence=0.5"])
    assert (config.seed, config.gan.steps, config.gan.batch_size) == (3, 20, 8)
    assert config.label.min_confidence == "0.5"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gan.stepz=1", "Unknown setting 'gan.stepz'. Did you mean 'gan.steps'?"),
        ("gna.steps=1", "Unknown setting 'gna'. Did you mean 'gan'?"),
        ("gan.steps=many", "gan.steps = 'many' is a str. It must be int."),
        ("gan.steps=1.5", "gan.steps = 1.5 is a float. It must be int."),
        ("gan.steps=true", "gan.steps = True is a bool. It must be int."),
        ("gan.steps=0", "gan.steps = 0. It must be at least 1."),
        ("gan.flip=True", "gan.flip = 'True' is a str. It must be true or false."),
        ("label.manifold=.05", "label.manifold = '.05' is a str. It must be float, like 0.05."),
        ("label.beta=1" + 400 * "0", "label.beta = inf. It must be a finite number."),
        ("gan.steps=2026-11-26", "gan.steps = '2026-11-26' is a str. It must be int."),
        ("data.channels=2", "data.channels = 2."),
        ("gan=5", "'gan' is a section, not a value."),
        ("gan.steps", "--set 'gan.steps' is not KEY=VALUE."),
        ("gan.lr_generator=nan", "gan.lr_generator = nan."),
        ("device=gpu", "device = 'gpu'."),
    ],
)
def test_a_bad_setting_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[override])
    assert str(caught.value).startswith(message)


def test_an_int_serves_where_a_float_is_wanted() -> None:
    assert load_config(overrides=["gan.minutes=2"]).gan.minutes == 2.0


def test_constructing_directly_is_checked_too() -> None:
    from ganfer.config import GanConfig

    with pytest.raises(ConfigError, match="gan.steps = 0"):
        Config(gan=GanConfig(steps=0))


def test_a_name_that_looks_like_a_date_is_a_name() -> None:
    assert load_config(overrides=["gan.parent=2026-11-26"]).gan.parent == "2026-11-26"


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("\ufeff[data]\nsize = 32\n", encoding="utf-8")
    assert load_config(file).data.size == 32


@pytest.mark.parametrize("name", ["a😀.pkl", "a\x7fb", os.fsdecode(b"f\xfc.pkl"), 'q"uo\\te'])
def test_an_options_text_arrives_as_it_was_given(name: str) -> None:
    assert load_config(overrides=[("stylegan.network", name), "gan.steps=5"]).stylegan.network == name
    assert _taken_settings({"set__stylegan__network": name, "set__seed": None}) == [("stylegan.network", name)]


def test_bad_toml_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("[gan\n")
    with pytest.raises(ConfigError, match="broken.toml is not valid TOML"):
        load_config(file)


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match="No config 'nope'"):
        load_config("nope")


@pytest.mark.parametrize("name", shipped_configs())
def test_every_shipped_config_loads(name: str) -> None:
    assert isinstance(load_config(name), Config)
    assert (configs_folder() / f"{name}.toml").read_text().startswith("#"), (
        "a config says in its first line what it is for"
    )


def test_the_command_line_reads_the_default_from_the_field() -> None:
    assert field_of("gan.steps").default == Config().gan.steps


def test_a_network_brings_its_own_defaults_and_what_was_set_stays() -> None:
    """Also a value that happens to be the default of another network."""
    own = load_config(overrides={"gan.network": "dcgan"}).gan
    assert (own.loss, own.regulariser, own.r1_gamma) == ("non-saturating", "r1", 0.05)
    other = load_config(overrides={"gan.network": "dcgan", "gan.r1_gamma": GanConfig().r1_gamma, "gan.steps": 7}).gan
    assert (other.loss, other.r1_gamma, other.steps) == ("non-saturating", GanConfig().r1_gamma, 7)
    classic = load_config("dcgan-classic", ["gan.flip=true"]).gan
    assert (classic.conditional, classic.regulariser, classic.augment, classic.flip) == (False, "none", "", True)
    assert (classic.network, classic.loss) == ("dcgan", "non-saturating")
    with pytest.raises(ConfigError, match="is a dcgan, not 'resgan'"):
        load_config("dcgan-classic", ["gan.network=resgan"])

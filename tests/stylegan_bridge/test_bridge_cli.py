"""`ganfer stylegan`: a checkpoint is described and converted, and what is none is refused in one line."""

import json
import sys
from pathlib import Path

import pytest
from bridge_checkpoints import tiny_generator, write_rosinality

from ganfer.cli import main as main_module
from stylegan_bridge import load_generator


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ganfer", "stylegan", *arguments])
    with pytest.raises(SystemExit) as done:
        main_module.main()
    return (int(done.value.code or 0), *capsys.readouterr())


def test_info_and_convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_rosinality(tiny_generator(), tmp_path / "faces.pt")
    code, out, _ = run("info", str(file), "--json", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    facts = json.loads(out)
    assert facts["config"]["resolution"] == 16
    code, _, err = run("convert", str(file), "faces.bin", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 1
    assert "must end in .safetensors" in err
    plan = run("convert", str(file), "faces.safetensors", "--dry-run", monkeypatch=monkeypatch, capsys=capsys)
    assert plan[0] == 0
    assert not Path("faces.safetensors").exists()
    assert run("convert", str(file), "faces.safetensors", monkeypatch=monkeypatch, capsys=capsys)[0] == 0
    before, after = load_generator(file), load_generator("faces.safetensors")
    assert (before.sample([1, 2]) == after.sample([1, 2])).all()
    assert not Path("ganfer-work").exists()


def test_what_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.pkl").write_text("shopping list")
    for name in ("notes.pkl", "nowhere.pkl"):
        code, out, err = run("info", name, monkeypatch=monkeypatch, capsys=capsys)
        assert (code, out) == (1, "")
        assert err.startswith("ganfer: ")
        assert name in err
        assert len(err.splitlines()) == 1

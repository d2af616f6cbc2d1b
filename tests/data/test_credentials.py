"""Content credentials: what is signed, and what is said where nothing can be."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ganfer.data.credentials import Credentials, parse_sign, signed
from ganfer.data.provenance import encode_png, read_facts
from ganfer.errors import DataError

IMAGE = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


class Fake:
    """As much of c2pa-python as is used, with a key that fits one algorithm."""

    class C2paError(Exception):
        pass

    class Settings:
        @staticmethod
        def from_dict(config: dict[str, object]) -> dict[str, object]:
            return config

    Context = staticmethod(lambda settings: settings)

    class C2paSignerInfo(tuple[object, ...]):
        def __new__(cls, *parts: object) -> "Fake.C2paSignerInfo":
            return super().__new__(cls, parts)

    class Signer:
        @staticmethod
        def from_info(info: tuple[str, bytes, bytes, None]) -> tuple[str, bytes, bytes, None]:
            return info

    class Builder:
        def __init__(self, manifest: str, context: object) -> None:
            self.manifest = json.loads(manifest)

        def __enter__(self) -> "Fake.Builder":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def sign(self, signer: tuple[str, bytes, bytes, None], kind: str, source: io.BytesIO, out: io.BytesIO) -> None:
            if (signer[0], signer[2]) != ("ps256", b"key"):
                raise Fake.C2paError("Signature: wrong key")
            (action,) = self.manifest["assertions"][0]["data"]["actions"]
            out.write(source.read() + action["digitalSourceType"].encode())


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("chain", "key"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path / "chain", tmp_path / "key"


def test_faces_drawn_in_the_block_are_signed(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", Fake)
    plain = encode_png(IMAGE, {})
    with signed(pair):
        assert (
            encode_png(IMAGE, {}) == plain + b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
        )
    assert encode_png(IMAGE, {}) == plain
    with signed(None):
        assert encode_png(IMAGE, {}) == plain


def test_a_block_that_draws_nothing_says_so(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", Fake)
    with signed(pair):
        pass
    assert "nothing was signed" in capsys.readouterr().err


def test_a_key_that_does_not_fit_is_said_before_anything_is_drawn(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", Fake)
    pair[1].write_bytes(b"another")
    with pytest.raises(DataError, match=r"do not sign \(Signature: wrong key\)"):
        signed(pair)
    with pytest.raises(DataError, match="nowhere cannot be read"):
        signed((pair[0], pair[0].with_name("nowhere")))


def test_without_the_library_its_extra_is_named(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(DataError, match=r"ganfer\[c2pa\]"):
        Credentials(*pair)


@pytest.mark.parametrize("text", ["", "a", "a,", ",b"])
def test_one_file_is_no_certificate_and_key(text: str) -> None:
    with pytest.raises(DataError, match="not CERT,KEY"):
        parse_sign(text)


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, to make a certificate")
def test_the_real_library_signs_on_this_machine(tmp_path: Path) -> None:
    c2pa = pytest.importorskip("c2pa", reason="needs the extra c2pa")
    root, root_key, leaf, key, request = (tmp_path / name for name in ("root", "root.key", "leaf", "key", "request"))
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new, "-keyout", root_key, "-out", root, "-subj", "/CN=Root/O=Tests",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    openssl("req", *new, "-keyout", key, "-out", request, "-subj", "/CN=Signer/O=Tests")
    (tmp_path / "ext").write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n"
        "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    openssl("x509", "-req", "-in", request, "-CA", root, "-CAkey", root_key, "-CAcreateserial", "-out", leaf,
            "-extfile", tmp_path / "ext")  # fmt: skip
    leaf.write_bytes(leaf.read_bytes() + root.read_bytes())
    with signed((leaf, key)):
        png = encode_png(IMAGE, {"seed": 1})
    with c2pa.Reader("image/png", io.BytesIO(png)) as reader:
        assert json.loads(reader.json())["validation_state"] == "Valid"
    (tmp_path / "a.png").write_bytes(png)
    assert read_facts(tmp_path / "a.png")["seed"] == "1"

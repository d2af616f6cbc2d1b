"""Content credentials (C2PA) for generated images: a signature that says a model made the picture (extra `c2pa`).

The picture is signed on this machine with the user's own certificate and key, without a time-stamping service; nothing
goes over the network. See https://c2pa.org/specifications/ for what readers check.
"""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.data.provenance import MADE_BY_MODEL, encode_png, signing
from ganfer.errors import DataError
from ganfer.runtime.console import say
from ganfer.version import __version__

_ALGORITHMS = ("es256", "ps256", "ed25519", "es384", "es512", "ps384", "ps512")
_SETTINGS = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
_MANIFEST = {
    "claim_generator_info": [{"name": "ganfer", "version": __version__}],
    "format": "image/png",
    "assertions": [
        {
            "label": "c2pa.actions",
            "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": MADE_BY_MODEL}]},
        }
    ],
}


class Credentials:
    """Signs PNGs. DataError where certificate and key are no pair that signs, found out on a blank picture."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.count = 0  # pictures signed so far
        self._lock = threading.Lock()
        try:
            import c2pa
        except ImportError as error:
            raise DataError("Signing needs c2pa-python.", "Install it: pip install 'ganfer[c2pa]'.") from error
        self._c2pa: Any = c2pa
        chain, secret = _read(certificate), _read(key)
        self._context = c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))
        self._signer = self._fitting(chain, secret, f"{certificate} and {key}")

    def sign(self, png: bytes) -> bytes:
        """The PNG with its credentials."""
        with self._lock:
            signed = self._signed(self._signer, png)
            self.count += 1
        return signed

    def _fitting(self, chain: bytes, secret: bytes, what: str) -> Any:
        reason = ""
        for name in _ALGORITHMS:
            try:
                signer = self._c2pa.Signer.from_info(self._c2pa.C2paSignerInfo(name, chain, secret, None))
                self._signed(signer, encode_png(np.zeros((1, 16, 16), np.uint8), {}))
            except self._c2pa.C2paError as error:
                reason = reason or str(error)
            else:
                return signer
        raise DataError(
            f"{what} do not sign ({reason}).",
            "Give a PEM certificate chain, the signing certificate first, and its unencrypted PKCS#8 key.",
        )

    def _signed(self, signer: Any, png: bytes) -> bytes:
        out = io.BytesIO()
        with self._c2pa.Builder(json.dumps(_MANIFEST), self._context) as builder:
            builder.sign(signer, "image/png", io.BytesIO(png), out)
        return out.getvalue()


def signed(sign: tuple[Path, Path] | None) -> AbstractContextManager[None]:
    """A block in which every face drawn is signed with this certificate and key; without them, any block.

    Certificate and key are tried at once.
    """
    return nullcontext() if sign is None else _signing(Credentials(*sign))


@contextmanager
def _signing(credentials: Credentials) -> Iterator[None]:
    with signing(credentials.sign):
        yield
    if not credentials.count:
        say("These faces were drawn before; nothing was signed. Faces drawn anew (other --seeds, --seed) are.")


def parse_sign(text: str) -> tuple[Path, Path]:
    """`CERT,KEY` as two paths. DataError for anything else."""
    certificate, comma, key = text.partition(",")
    if not (certificate and comma and key):
        raise DataError(f"--sign {text!r} is not CERT,KEY.", "Write it like --sign chain.pem,key.pem.")
    return Path(certificate), Path(key)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).", "Give a PEM file.") from error

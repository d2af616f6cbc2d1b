"""Bring a network here from a file, a URL or a known name: cached, resumed, checked, and shared between processes.

A download grows as NAME.part beside its place and takes the final name when whole and checked. Its digest is kept in
NAME.json; where the publisher states none, the first download's digest is what later ones are held to.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from stylegan_bridge.errors import BridgeError
from stylegan_bridge.known import KnownNetwork, look_up

#: Called with the bytes that are here and the bytes in all, or None where the server does not say.
Progress = Callable[[int, int | None], None]

CHUNK = 1 << 20
#: How long to wait for a byte, and how often to take a cut connection up again with nothing gained since the last time.
TIMEOUT_SECONDS, MAX_FRUITLESS_TRIES, RETRY_SECONDS = 30.0, 4, 1.0
LOCK_SECONDS = 3600.0
#: Left free on the disk.
DISK_MARGIN = 64 << 20
#: The largest published network has 0.4 GB.
MAX_BYTES = 8 << 30


def cache_dir() -> Path:
    """GANFER_CACHE, or ganfer in XDG_CACHE_HOME, or ~/.cache/ganfer."""
    if own := os.environ.get("GANFER_CACHE"):
        return Path(own).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "ganfer"


def fetch(
    source: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
) -> Path:
    """The path of a network: a file as it is, a URL or a known name downloaded once into the cache.

    `sha256` (hex) must match; `announce` is told the licence of a known network before it is downloaded.

    Example: `load_generator(fetch("ffhq-256"))`.
    """
    text = os.fspath(source)
    is_url = re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None
    if not is_url and Path(text).exists():
        if sha256 is not None and (actual := _digest(Path(text))) != sha256.lower():
            raise BridgeError(f"{text} has sha256 {actual}, wanted is {sha256.lower()}; it is another file or damaged")
        return Path(text)
    if not is_url and ("/" in text or "\\" in text or text.endswith((".pkl", ".pt", ".safetensors"))):
        raise BridgeError(f"{text} does not exist; give a file, a URL or a known name")
    known: KnownNetwork | None = None
    url = text
    if not is_url:
        known = look_up(text)
        url, sha256 = known.url, sha256 or known.sha256
        if announce is not None:
            announce(f"{text}: {known.description}. {known.licence}. From {url}")
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise BridgeError(f"{url}: only http and https addresses are fetched")
    return _Download(url, _target(url, cache), sha256.lower() if sha256 else None, progress, announce).run()


def is_cached(source: str, *, cache: Path | None = None) -> bool:
    """Whether `fetch` of a URL or a known name would find a whole file and download nothing. BridgeError as there."""
    url = source if "://" in source else look_up(source).url
    return _target(url, cache).exists()


def _target(url: str, cache: Path | None) -> Path:
    return (cache or cache_dir()) / "networks" / _file_name(url)


def _file_name(url: str) -> str:
    """The address's last part, made safe, with a digest of the whole address so that two ffhq.pkl do not meet."""
    last = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rsplit("/", 1)[-1]
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".")[-80:] or "network"
    return f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{safe}"


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise BridgeError(f"{req.full_url} redirects to the unprotected {newurl[:200]}; not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Download:
    """One file on its way into the cache."""

    def __init__(
        self,
        url: str,
        target: Path,
        sha256: str | None,
        progress: Progress | None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self.url, self.target, self.sha256, self.progress, self.announce = url, target, sha256, progress, announce
        self.part = target.with_name(target.name + ".part")
        self.part_record = target.with_name(target.name + ".part.json")
        self.record = target.with_name(target.name + ".json")

    def run(self) -> Path:
        """Wait for another process's download of the same, else do it."""
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.target}.lock", timeout=LOCK_SECONDS):
                return self._locked()
        except Timeout as error:
            raise BridgeError(
                f"another process has been downloading {self.url} for {LOCK_SECONDS / 60:.0f} minutes;"
                f" if none is, remove {self.target}.lock"
            ) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise BridgeError(
                    f"no space left in {self.target.parent}; free some or set GANFER_CACHE to another disk"
                    " (the part that is here will be resumed)"
                ) from error
            raise BridgeError(f"cannot write to {self.target.parent}: {error.strerror or error}") from error

    def _locked(self) -> Path:
        recorded = _read_json(self.record)
        if self.target.exists():
            self._check_again(recorded)
            return self.target
        self._transfer()
        actual = _digest(self.part)
        wanted = self.sha256 or recorded.get("sha256")
        if wanted is not None and actual != wanted:
            self.part.unlink()
            self.part_record.unlink(missing_ok=True)
            raise BridgeError(
                f"{self.url} gave a file of sha256 {actual}, wanted is {wanted}; it was dropped."
                " The publisher may have changed it, or the connection is tampered with"
                + ("" if self.sha256 else f"; to take what is there now on sight, remove {self.record}")
            )
        if self.sha256 is None and wanted is not None:  # downloaded again: what was seen first counts
            _write_json(self.record, recorded)
        else:
            self._remember(actual, self.part)
        os.replace(self.part, self.target)
        self.part_record.unlink(missing_ok=True)
        return self.target

    def _check_again(self, recorded: dict[str, Any]) -> None:
        """Compare the file that is here with the digest that is wanted, or that it had on first sight."""
        actual = _digest(self.target)
        first = recorded.get("sha256")
        if self.sha256 is None and not isinstance(first, str):
            self._remember(actual, self.target)
        elif actual != (self.sha256 or first):
            known = self.sha256 or f"{first}, which it had on first sight"
            raise BridgeError(
                f"{self.target} has sha256 {actual}, wanted is {known}; it was changed; remove the file to download it"
                " again"
            )
        elif self.sha256 is None and self.announce is not None:
            since = recorded.get("first_sight", "an earlier day")
            self.announce(f"{self.target.name} is as it was on first sight ({since}): sha256 {actual}.")

    def _remember(self, actual: str, file: Path) -> None:
        """Keep the digest; without one to compare with, say that the file is trusted."""
        entry = {"url": self.url, "sha256": actual, "num_bytes": file.stat().st_size}
        if self.sha256 is None:
            entry["first_sight"] = time.strftime("%Y-%m-%d", time.gmtime())
            if self.announce is not None:
                self.announce(
                    f"No digest of {self.url} is known here: the file is trusted on first sight. Its sha256 {actual} is"
                    f" kept in {self.record}; from now on the file, and later downloads, must have the same."
                )
        _write_json(self.record, entry)

    def _transfer(self) -> None:
        """Fill the part file, taking a cut connection up where it broke off for as long as that brings new bytes."""
        fruitless = 0
        while True:
            before = self._here()
            try:
                if self._receive(before):
                    return
                reason = "the connection was cut"
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code not in (408, 429):
                    raise BridgeError(f"{self.url}: the server answers {error.code} {error.reason}") from error
                reason = f"the server answers {error.code} {error.reason}"
            except (
                urllib.error.URLError,
                http.client.HTTPException,
                TimeoutError,
                ConnectionError,
                ssl.SSLError,
            ) as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            fruitless = 0 if self._here() > before else fruitless + 1
            if fruitless >= MAX_FRUITLESS_TRIES:
                raise BridgeError(
                    f"{self.url} cannot be fetched: {reason}. Check the network and run the same command again;"
                    f" {self._here():,} bytes are kept"
                )
            time.sleep(RETRY_SECONDS * fruitless)

    def _receive(self, have: int) -> bool:
        """One connection. True when the file is whole."""
        expected = _read_json(self.part_record)
        if expected.get("url") != self.url or (have and "validator" not in expected):
            have = 0
        headers = {"User-Agent": "ganfer", "Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": str(expected["validator"])}
        request = urllib.request.Request(self.url, headers=headers)
        opener = urllib.request.build_opener(_NoDowngrade)
        try:
            response = opener.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and have:  # nothing left to send: the whole file is here, or it shrank
                if have == expected.get("total"):
                    return True
                self.part.unlink()
                return False
            raise
        with response:
            if response.status != 206:
                have = 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length is not None and length.isdigit() else None
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
            _write_json(
                self.part_record, {"url": self.url, "total": total} | ({"validator": validator} if validator else {})
            )
            self._check_space(total, have)
            with open(self.part, "ab" if have else "wb") as out:
                while chunk := response.read(CHUNK):
                    out.write(chunk)
                    have += len(chunk)
                    if have > MAX_BYTES:
                        raise BridgeError(f"{self.url} sends more than {MAX_BYTES >> 30} GiB, more than any network")
                    if self.progress is not None:
                        self.progress(have, total)
        if total is None and have == 0:
            raise BridgeError(f"{self.url}: the server sent nothing")
        return total is None or have == total

    def _check_space(self, total: int | None, have: int) -> None:
        if total is None:
            return
        free = shutil.disk_usage(self.target.parent).free
        if total - have + DISK_MARGIN > free:
            raise BridgeError(
                f"{self.url} needs {(total - have) / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free in"
                f" {self.target.parent}; free some or set GANFER_CACHE to another disk"
            )

    def _here(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0


def _digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """A small record; an absent or broken one counts as empty, and the download begins anew."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    os.replace(temporary, path)

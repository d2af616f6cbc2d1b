"""The commands of docs/serve.md, run as they stand."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from serving import encoded, faces, scene, server_of, source_of, write_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "serve.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl, which is not installed")
def test_every_curl_of_the_document_gets_an_answer(tmp_path: Path) -> None:
    blocks = re.findall(r"<!-- run -->\n```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) == 14
    (tmp_path / "photo.jpg").write_bytes(encoded(scene(), "JPEG", quality=95))
    (tmp_path / "face.png").write_bytes(encoded(Image.fromarray(faces(1)[0, 0])))
    names = ("expression", "before", "after")
    sources = [source_of(name, write_model(tmp_path / name, seed=seed)) for seed, name in enumerate(names)]
    with server_of(sources).background() as listening:
        for command in commands:
            here = command.replace("http://127.0.0.1:8501", listening.url).replace("curl ", "curl -sS --fail ", 1)
            done = subprocess.run(["bash", "-c", here], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (command, done.stderr)
            assert done.stdout.startswith(("{", "# HELP")), command
        (code,) = re.findall(r"<!-- run -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        names: dict[str, Any] = {}
        code = code.replace("1, 48, 48", "1, 16, 16").replace("127.0.0.1:8501", listening.url.removeprefix("http://"))
        exec(code, names)
        assert names["probabilities"].shape == (5, 3)

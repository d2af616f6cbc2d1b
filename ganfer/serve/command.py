"""The command: what is served, where, until when."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganfer.config import Config
from ganfer.errors import GanferError
from ganfer.results import Result
from ganfer.runtime.console import say
from ganfer.workspace import Workspace

if TYPE_CHECKING:
    from ganfer.live.detect import Detector


def plan_lines(workspace: Workspace, config: Config, wanted: Sequence[str]) -> list[str]:
    """What `serve` will serve, and where."""
    from ganfer.classifier.catalogue import listed

    found = [f"serve {source.name}: {source.note}" for source in listed(workspace, wanted)]
    return [*found, f"listen on {config.serve.host}, port {config.serve.port or 'any free'}"]


def check(config: Config, options: Mapping[str, Any], *, fetch: bool = False) -> None:
    """GanferError for an address, files and tokens that do not do, before a classifier is trained to be served.

    fetch: also bring what has to be downloaded.
    """
    from ganfer.classifier.early import check_device, check_file
    from ganfer.live.mesh import open_landmarker
    from ganfer.serve.server import check_listening

    for name in ("certificate", "key", "detector_model", "landmarker_model"):
        check_file(options.get(name), "--" + name.replace("_", "-"))
    check_device(config)
    check_listening(config.serve, *(options.get(name) for name in ("token", "certificate", "key")))
    if options.get("detector_model"):
        detector_or_why(config, options["detector_model"])
    if options.get("attention") and (fetch or options.get("landmarker_model")):
        open_landmarker(options.get("landmarker_model")).close()


def serve(
    workspace: Workspace,
    config: Config,
    wanted: Sequence[str] = (),
    *,
    token: str | None = None,
    detector_model: Path | None = None,
    attention: bool = False,
    landmarker_model: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> Result:
    """Serve until Ctrl-C or SIGTERM; then finish what is in flight and say what was done."""
    try:
        from ganfer.serve.server import Listening, Server
    except ImportError as error:
        raise GanferError(f"ganfer serve needs {error.name}.", "Install it: pip install 'ganfer[serve]'.") from error
    from ganfer.classifier.catalogue import listed
    from ganfer.serve.photos import Eyes

    found, why = detector_or_why(config, detector_model)
    if found is None:
        say(f"{why} Until then only ready crops are read.")
    landmarker = None
    if attention:
        from ganfer.live.mesh import open_landmarker

        landmarker = open_landmarker(landmarker_model)

    server = Server(
        lambda: listed(workspace, wanted),
        Eyes(found, landmarker, why, config.live.min_face),
        config.serve,
        device=config.device,
        token=token,
        certificate=certificate,
        key=key,
    )

    def started(listening: Listening) -> None:
        for source in listed(workspace, wanted):
            say(f"{source.name}: {source.note}")
        say(f"ganfer serves {listening.link}   (the API: {listening.url}/docs; Ctrl-C ends it)")

    began = time.monotonic()
    try:
        server.run(started)
    finally:
        if landmarker is not None:
            landmarker.close()
    minutes = (time.monotonic() - began) / 60
    done = server.metrics.totals()
    line = f"Stopped after {minutes:.1f} min: {done['requests']:,} requests, {done['images']:,} faces read."
    figures = {"url": server.listening.url, "minutes": round(minutes, 2), **done}
    return Result("ganfer serve", None, figures, [line])


def detector_or_why(config: Config, model: Path | None) -> tuple["Detector | None", str]:
    """The configured detector; or, where ganfer's own cannot be opened, None and the reason: ready crops need none.

    GanferError when a file of the user's is no detector.
    """
    from ganfer.live.detect import MAX_SIDE, open_detector

    live = config.live
    try:
        return open_detector(live.detector, model, live.min_score, live.max_side or MAX_SIDE), ""
    except GanferError as error:
        if model is not None:
            raise
        return None, str(error)

"""`ganfer`: the command groups, loaded when they are called, and how failures reach the user."""

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

import click

from classifiers.errors import ClassifierError
from ganfer.errors import GanferError
from ganfer.runtime.signals import Ended, end_in_order
from ganfer.runtime.text import one_line
from ganfer.version import __version__
from stylegan_bridge.errors import BridgeError

EXPECTED = (GanferError, ClassifierError, BridgeError)

# name -> (module:object, what the list of commands says); the module is imported when the command is called
COMMANDS = {
    "demo": ("ganfer.cli.story:demo", "The whole story on drawn faces: minutes on a CPU, ends with a report."),
    "status": ("ganfer.cli.story:status", "What the workspace holds and what comes next."),
    "data": ("ganfer.cli.data:data", "Add images, look at them, check them, audit their labels, thin them."),
    "train": ("ganfer.cli.train:train", "Train a GAN or a classifier."),
    "generate": ("ganfer.cli.generate:generate", "Draw synthetic faces."),
    "label": ("ganfer.cli.label:label", "Pseudo-label and screen the newest batch, or any folder of images."),
    "quality": ("ganfer.cli.quality:quality", "How good a batch's faces are, beside held-back real images."),
    "review": ("ganfer.cli.review:review", "A page to look at faces and labels: keep, reject, relabel; a blind test."),
    "retrain": ("ganfer.cli.retrain:retrain", "Train with and without the synthetic faces and compare."),
    "evaluate": ("ganfer.cli.classify:evaluate", "A classifier on the test split: figures, confusions, mistakes."),
    "crossval": ("ganfer.cli.classify:crossval", "k-fold cross-validation, at random and by subject."),
    "tune": ("ganfer.cli.tune:tune", "Search for better classifier settings."),
    "explain": ("ganfer.cli.classify:explain", "Where in an image the classifier finds its evidence."),
    "export": ("ganfer.cli.classify:export", "A classifier as ONNX, checked against torch."),
    "stylegan": ("ganfer.cli.stylegan:stylegan", "Look into StyleGAN2 checkpoints, convert them to safetensors."),
    "serve": ("ganfer.cli.serve:serve", "REST (TensorFlow Serving, Open Inference v2) and the live page."),
    "predict": ("ganfer.cli.live:predict", "Faces in photos, videos or a camera: who shows which expression."),
    "timeline": ("ganfer.cli.live:timeline", "Who attended and showed what when, from the logs of predict."),
    "report": ("ganfer.cli.story:report", "Where the newest report lies; write it again from its results."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that `--help` is instant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from ganfer.cli.options import common_last

        return super().parse_args(ctx, common_last(self, ctx, args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from ganfer.errors import did_you_mean

            raise click.UsageError(f"No such command {args[0]!r}. {did_you_mean(args[0], COMMANDS)}", ctx) from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="ganfer")
def cli() -> None:
    """Does synthetic data help my facial-expression classifier, and how do I make it help?

    The daily use: ganfer generate --n 500, ganfer label, ganfer retrain. Each works in an empty folder; what is
    missing is made on the way, after printing the plan. `ganfer demo` shows all of it on drawn faces.
    """


def main() -> None:
    """Run the command line: 0 done, 1 an expected failure (one line), 2 usage, 128 + n ended by signal n."""
    end_in_order()
    try:
        code = cli.main(prog_name="ganfer", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__ if isinstance(error, click.Abort) else error  # click makes an Abort of either
        if isinstance(cause, Ended):
            _tell(f"Ended by {cause}. Nothing finished is lost; the same command goes on from here.")
            sys.exit(128 + cause.number)
        if isinstance(cause, EOFError):  # which click takes for Ctrl-D
            _tell(f"ganfer: A file ends too early ({one_line(str(cause))}). Make it again.")
            sys.exit(1)
        _tell("\nInterrupted. Nothing finished is lost; the same command goes on from here.")
        sys.exit(130)
    except EXPECTED as error:
        _tell(f"ganfer: {one_line(str(error))}")
        _fail(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away: `ganfer status | head`
        sys.exit(1)
    except (OSError, RuntimeError) as error:
        line = _file_system_line(error) if isinstance(error, OSError) else _memory_line(error) or _gpu_line(error)
        if line is None:
            raise
        _tell(f"ganfer: {one_line(line)}")
        _fail(error)


def _tell(text: str) -> None:
    """A last line on stderr, which the terminal may have taken with it."""
    with suppress(OSError):
        click.echo(text, err=True)


_GO_ON = "Free some; the same command goes on from what is finished."
_READABLE = "Change its rights (chmod u+r), or choose a file you can read."
_WRITABLE = "Choose a folder you can write to (-w DIR for the workspace, --out DIR for results)."
#: What a disk or a folder can fail with that a user can mend, and how.
_FILE_SYSTEM = {
    errno.ENOSPC: ("No space left on the disk", _GO_ON),
    errno.EDQUOT: ("The disk quota is used up", _GO_ON),
    errno.EFBIG: ("The file is larger than the file system or `ulimit -f` allows", _GO_ON),
    errno.EACCES: ("No permission", _WRITABLE),
    errno.EPERM: ("No permission", _WRITABLE),
    errno.EROFS: ("The file system is read-only", "Choose another workspace with -w DIR."),
    errno.EMFILE: ("Too many open files", "Raise the limit with `ulimit -n 4096`."),
    errno.ENFILE: ("Too many open files on this machine", "Close other programs."),
    errno.ENAMETOOLONG: ("The name is too long for the file system", "Choose a shorter one."),
    errno.ENOTDIR: ("A part of the path is a file, not a folder", "Choose another path (-w DIR for the workspace)."),
    errno.EISDIR: ("That is a folder, where a file belongs", "Choose another path."),
    errno.EEXIST: ("Something of that name is in the way", "Choose another path (-w DIR for the workspace)."),
    errno.ENOTEMPTY: ("The folder is not empty", "Choose another path."),
    errno.ENOENT: ("No such file or folder", "It was removed meanwhile, or a link leads nowhere. Choose another path."),
    errno.ELOOP: ("Links lead in a circle", "Choose another path."),
    errno.EIO: ("The disk or the network failed", "Check it; the same command goes on from what is finished."),
    errno.ESTALE: ("The network file system lost the file", "The same command goes on from what is finished."),
    errno.EBUSY: ("The file is in use", "Close what uses it."),
    errno.ENODEV: ("The device is not there", "Check it, or choose another path."),
    errno.ENXIO: ("The device is not there", "Check it, or choose another path."),
    errno.ENOLCK: ("The file system has no locks", "Choose a workspace on another file system with -w DIR."),
    errno.ENOTSUP: ("The file system cannot do that", "Choose a workspace on another file system with -w DIR."),
}


def _memory_line(error: RuntimeError) -> str | None:
    """One line for a GPU whose memory ran out in work that has no batch size of its own; None for all other errors."""
    from classifiers.memory import is_out_of_memory

    if not is_out_of_memory(error):
        return None
    return (
        "Out of GPU memory. Free it (nvidia-smi shows who uses it), or add --device cpu; "
        "the same command goes on from what is finished."
    )


def _fail(error: BaseException) -> NoReturn:
    """End with code 1; at once where the GPU failed, as destroying what lies there in order would abort."""
    if _is_dead(error):
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(1)
    sys.exit(1)


def _is_dead(error: BaseException) -> bool:
    if "torch" not in sys.modules:
        return False
    from classifiers.memory import is_dead

    return is_dead(error)


def _gpu_line(error: RuntimeError) -> str | None:
    """One line for a kernel that failed, after which the GPU answers nothing of this process; None for other errors."""
    if not _is_dead(error):
        return None
    from classifiers.tasks import GPU_REMEDY

    said = str(error).partition("\n")[0].removeprefix("CUDA error: ")
    remedy = GPU_REMEDY[0].upper() + GPU_REMEDY[1:]
    return f"The GPU failed ({said}). The same command goes on from what is finished. {remedy}."


def _file_system_line(error: OSError) -> str | None:
    """One line for the failures of a disk or a folder that a user can mend; None for all others."""
    number = error.errno
    if number is None and "written" in str(error):  # NumPy's own, of a short write
        number = errno.ENOSPC
    if number == errno.ENOENT and "temporary directory" in str(error):  # tempfile's own, when it finds no place
        return "No folder for temporary files can be written. Free space in /tmp, or set TMPDIR to another folder."
    if number not in _FILE_SYSTEM or (number == errno.ENOENT and not error.filename):
        return None
    problem, remedy = _FILE_SYSTEM[number]
    if remedy == _WRITABLE and error.filename and os.path.exists(error.filename):
        remedy = remedy if os.access(error.filename, os.R_OK) else _READABLE
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes | os.PathLike) else ""
    return f"{problem}{where}. {remedy}"

"""The `residua` command: its subcommands, its exit codes, its errors."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from residua._base.errors import InputError, Notice, ResiduaError, did_you_mean
from residua._base.files import cause
from residua._base.signals import Termination, stop_on_sigterm
from residua._base.words import visible, wording
from residua.cli.examples import EXAMPLES
from residua.cli.flags import Render, as_flags, error_as_flags, options_of
from residua.cli.lists import spread
from residua.cli.parse_errors import as_input_error
from residua.cli.show import note
from residua.cli.streams import StdoutError, discard, settle_streams
from residua.runtime.distributed.launch import read_launch
from residua.runtime.waiting import settle_waiting

_SOURCE = Path(__file__).parents[1]

_FIRST_SECONDS = 10.0
_READABLE, _CHECK = "files and folders that can be read and written", "Check the path and its permissions"

_HELP = """From a folder of images to a proven, deployed classifier built on residual networks.

Start with:
  residua train digits --model cifar_resnet20 --out runs/first

Every command that prints a result takes --json: one JSON document on stdout,
nothing else there; progress and warnings go to stderr.

A list takes commas, or the option repeated: --milestones 60,120. A comma of an
entry has a backslash before it: --run 'a\\,b'; a path that exists needs none.

Exit code 0: done. 1: it ran and the answer is no. 2: the input cannot be used,
and why. 70: a fault of Residua itself. 130, 143: stopped by Ctrl-C, by SIGTERM.
--debug shows the traceback of an error."""

_COMMANDS = {
    "models": "List the networks, with paper, parameters and MACs.",
    "diff": "Show what differs between two networks, field by field.",
    "inspect": "Lay a network open: layers, costs, memory, receptive fields.",
    "verify": "Compare networks with what was published and with the peers' logits.",
    "check": "Examine a data set: corrupt files, duplicates, leaks, imbalance.",
    "pack": "Write a data set as tar shards with a hashed index.",
    "weights": "List, fetch or remove published weights, which training begins with.",
    "train": "Train a network on images; resumable, ends in a report.",
    "sweep": "Train networks with several values and seeds; means with intervals.",
    "track": "Send a finished run to Weights & Biases, MLflow, Trackio or TensorBoard.",
    "evaluate": "Measure a trained run on held-out or other images.",
    "compare": "Set runs side by side on the same images, with significance.",
    "predict": "Classify images with a trained run.",
    "undo-sort": "Put files back that predict --sort-into has sorted.",
    "explain": "Show where in an image the evidence for a class stands.",
    "doubt": "Find labels that are probably wrong, as pictures and a file to correct.",
    "embed": "Turn images into vectors: what a trained run holds of each.",
    "similar": "Find the images most like a query, as a trained run sees them.",
    "label-next": "Choose the images whose labels would teach a run most.",
    "serve": "Answer images over HTTP: a protocol for programs, a page for people.",
    "conform": "Hold a server against the Open Inference Protocol, point by point.",
    "convert": "Turn somebody else's weights into a run, or a run's into theirs.",
    "export": "Export a run for other runtimes, proven beside the run.",
    "study": "Answer a question with a grid of networks under one recipe.",
    "learn": "Learn what residual networks are in eight steps, each run here.",
    "bench": "Time networks on this machine, beside their peers.",
}

# A command's function stands in the module of its name, but for these.
_MODULES = {"diff": "models"}


def build_app() -> App:
    """Return the application with every subcommand registered by name."""
    app = App(
        name="residua",
        help=_HELP,
        help_format="plaintext",
        default_parameter=Parameter(negative_iterable=()),
        version=_version,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, summary in _COMMANDS.items():
        # By name: a module is imported only when its command runs, so that the help answers at once.
        function = name.replace("-", "_")
        target = f"residua.cli.commands.{_MODULES.get(name, function)}:{function}"
        examples = "\n".join(f"  {example}" for example in EXAMPLES[name])
        app.command(target, name=name, help=summary, help_epilogue=f"Examples:\n{examples}")
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors are one paragraph on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold what no encoding has: it is shown escaped, and JSON stays JSON.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        if words and not words[0].startswith("-") and words[0] not in _COMMANDS:
            raise InputError(
                f"command {words[0]!r}",
                f"one of {', '.join(_COMMANDS)}",
                did_you_mean(words[0], _COMMANDS, 1),
            )
        if words and words[0] in _COMMANDS and words[0] != "train" and (count := read_launch().count) > 1:
            raise InputError(
                f"residua {words[0]} in {count} processes",
                "one process: only train divides its work between those that torchrun starts",
                "Leave torchrun out",
            )
        with wording(lambda text: as_flags(text, _options(words))), _own_warnings():
            app = build_app()
            code = app(spread(app, words), exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return int(code or 0)
    except BrokenPipeError:
        # The reader of our output has left, as `head` does; the interpreter must not flush into it again.
        discard(sys.stdout)
        return 0
    except StdoutError as error:
        discard(sys.stdout)
        _say(f"The result could not be printed: standard output takes no more ({error.strerror}). Files are complete.")
        return 2
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        if type(error).__name__ == "EndedElsewhere":  # by name: torch takes seconds to load
            return int(vars(error)["exit_code"])
        text, code = _verdict(error, words)
        if not _stated_elsewhere():
            _say(text)
        return code


def _stated_elsewhere() -> bool:
    """Return whether the first of torchrun's processes states an error: before they join, all refuse the same input.

    The others leave it the time to do so: torchrun ends all processes as soon as one has failed.
    """
    try:
        stated = "residua.runtime.distributed.group" not in sys.modules and not read_launch().main
    except InputError:
        return False
    if stated:
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(_FIRST_SECONDS)
    return stated


def _options(words: Sequence[str]) -> dict[str, Render]:
    """Return the options of the command that these words start, and none before there is one."""
    return options_of(build_app(), words[0]) if words and words[0] in _COMMANDS else {}


@contextlib.contextmanager
def _own_warnings() -> Iterator[None]:
    """Show a warning of Residua as one line, without the place in the source that Python adds."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], filename: str, *position: Any, **where: Any) -> None:
        # A notice names the place that called the library: here, the parser's.
        if issubclass(category, Notice) or Path(filename).is_relative_to(_SOURCE):
            note(str(message) if issubclass(category, Notice) else f"Warning: {message}")
        elif Path(filename).parent.name != "PIL":  # The decoder itself names the file that Pillow comments on.
            before(message, category, filename, *position, **where)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _verdict(error: BaseException, words: Sequence[str]) -> tuple[str, int]:
    """Return what to print of an error, and the exit code."""
    if isinstance(error, CycloptsError):
        command = f"residua {words[0]}" if words and words[0] in _COMMANDS else "residua"
        refused = as_input_error(error, command)
        return error_as_flags(refused, _options(words)) if isinstance(refused, InputError) else refused, 2
    if isinstance(error, InputError):
        return error_as_flags(error, _options(words)), error.exit_code
    if isinstance(error, ResiduaError):
        return as_flags(str(error), _options(words)) or "Stopped.", error.exit_code
    if isinstance(error, Termination):
        return "Stopped by SIGTERM.", 143
    if isinstance(error, KeyboardInterrupt):
        return "Stopped.", 130
    if isinstance(error, OSError):
        return str(_refused(error)), InputError.exit_code
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"This is a fault of Residua, not of your input: {what}. --debug shows where; please report it.", 70


def _refused(error: OSError) -> InputError:
    """Return the true cause of a refused read or write, as far as the system states it."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        # A library that writes for us names no file; the cause may be clear without it.
        reason, wanted, remedy = cause(error.errno, Path.cwd())
        return InputError(reason.partition(" (")[0] or str(error), wanted or _READABLE, remedy or _CHECK)
    path = os.fsdecode(error.filename)
    # Whether a permission lacks to read or to write is not known here; the other causes are those of writing alone.
    denied = error.errno in (errno.EACCES, errno.EPERM)
    reason, wanted, remedy = ("", "", "") if denied else cause(error.errno, Path(path))
    return InputError(f"{path}: {reason or error.strerror}", wanted or _READABLE, remedy or _CHECK)


def run() -> None:
    """Run the command line as the console script does, and exit with its code."""
    settle_streams()
    stop_on_sigterm()
    settle_waiting()
    if "WORLD_SIZE" in os.environ:
        # What torch's own library warns of, a lost connection, the command states in its words.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    code = main()
    relay = sys.modules.get("residua.training.tracking.relay")
    if relay is not None and relay.are_left_behind():
        # The package of a tracker that hangs would wait for its server again while the process ends.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    raise SystemExit(code)


def _say(text: str) -> None:
    # One paragraph whatever it quotes: a server or a file's name may hold line breaks and a terminal's commands.
    print(f"residua: {visible(' '.join(text.split()))}", file=sys.stderr)


def _version() -> str:
    from residua._version import __version__

    return __version__

"""Finds the command, and turns a user's mistake into one line on stderr."""

import contextlib
import difflib
import importlib
import logging
import os
import pathlib
import sys

import lvmmed_jax
from lvmmed_jax import commands

EXIT_DONE, EXIT_MISTAKE, EXIT_USAGE = 0, 1, 2
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143


def usage() -> str:
    """The text of `--help`: every command with its one line."""
    width = max(map(len, commands.COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in commands.COMMANDS.items()]
    return "\n".join(
        [
            "usage: lvmmed COMMAND ...   (in a checkout: python run.py COMMAND ...)",
            "",
            *lines,
            "",
            "`lvmmed COMMAND --help` shows the options of one and an example.",
            "--no-compile-cache compiles anew, not from $XDG_CACHE_HOME/lvmmed.",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Exit codes: 0 done; 1 a user's mistake or a failed check, told in one line on
    stderr; 2 usage; 130 after Ctrl-C, 143 after SIGTERM. With LVMMED_TRACEBACK=1 a
    mistake shows where it was raised.

    Args:
      argv: command and arguments; None takes those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # not a terminal, file or pipe
            stream.reconfigure(errors="backslashreplace")  # names that are no text
    given = sys.argv[1:] if argv is None else argv
    argv = [word for word in given if word != "--no-compile-cache"]
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return EXIT_DONE if argv else EXIT_USAGE
    if argv[0] == "--version":
        print(f"lvmmed_jax {lvmmed_jax.__version__}")
        return EXIT_DONE
    name, *words = argv
    if name not in commands.COMMANDS:
        near = difflib.get_close_matches(name, commands.COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        known = ", ".join(commands.COMMANDS)
        print(
            f"lvmmed: unknown command {name!r}{hint} (there are {known})",
            file=sys.stderr,
        )
        return EXIT_USAGE
    if argv == given:
        _use_compile_cache()
    # orbax logs whole tracebacks of what is raised, and told in one line, anyway
    for name_of_logger in ("absl", "asyncio"):
        logging.getLogger(name_of_logger).setLevel(logging.CRITICAL)
    try:
        return importlib.import_module(f"lvmmed_jax.commands.{name}").main(words)
    except KeyboardInterrupt:
        print(f"\nlvmmed {name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("LVMMED_TRACEBACK"):
            raise
        print(f"lvmmed {name}: error: {one_line(error)}", file=sys.stderr)
        return EXIT_MISTAKE


def _use_compile_cache() -> None:
    """Has jax keep compiled programs, which it reads from the environment."""
    home = pathlib.Path.home() / ".cache"
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or home) / "lvmmed"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))


def one_line(error: BaseException) -> str:
    """The message of `error` as one line that says what went wrong and where."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__

"""Console entry: `xdancer COMMAND …`. Standard library only until a command is chosen, so that `--help` answers at once."""

import importlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("xdancer.commands.demo:demo", "train all stages on the embedded data set and watch the result"),
    "generate": ("xdancer.commands.generate:generate", "portrait + song → dance video"),
    "prepare": ("xdancer.commands.prepare:prepare", "your dance videos → training shards"),
    "evaluate": ("xdancer.commands.evaluate:evaluate", "beat, motion and video figures of dances, with nulls"),
    "export": ("xdancer.commands.export:export", "three checkpoints → one model folder"),
    "embedded": ("xdancer.commands.embedded:embedded", "write the embedded data set as shards"),
    "reproduce": ("xdancer.commands.reproduce:reproduce", "paired studies of the three stages, or a table of the paper: train and measure"),
    "features": ("xdancer.commands.features:features", "add a music feature to shards"),
    "tokenize": ("xdancer.commands.tokenize:tokenize", "write the motion tokens of shards beside them"),
    "cache-latents": ("xdancer.commands.cache_latents:cache_latents", "run stage 3's frozen networks over the videos of shards once"),
    "import": ("xdancer.commands.importing:IMPORT", "data sets with known poses (AIST++, pose files beside videos), motion capture → shards"),
    "shards": ("xdancer.commands.shards:shards", "verify or show shards, merge parts of them"),
    "weights": ("xdancer.commands.weights:WEIGHTS", "pretrained weights that people have: list them, take them in"),
    "submit": ("xdancer.commands.submit:submit", "train on a SLURM cluster: single jobs, chains of the stages, arrays of seeds"),
    "doctor": ("xdancer.commands.doctor:doctor", "is everything there: versions, GPU, FFmpeg, weights, shards, disk, SLURM"),
    "plan": ("xdancer.commands.plan:plan", "will this training fit the GPU? parameters, memory, operations from the config"),
}


POSITIONAL = {"cache-latents", "features", "import", "prepare", "shards", "submit", "tokenize", "weights"}
"""Commands whose required arguments stand without a flag, as in `xdancer prepare VIDEO_DIR`."""
LEADING = {"reproduce": "--study"}
"""Commands whose first word may stand for a flag that is not required, as in `xdancer reproduce inputs`."""
SHORT = {"-W": "--width", "-H": "--height"}


def usage() -> str:
    """The text of `xdancer --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: xdancer COMMAND [options]      xdancer COMMAND --help",
            "",
            "Music-driven human dance video: one portrait and one song in, a dance video out.",
            "",
            *lines,
            "",
            "Training runs through train.py: python train.py fit --config configs/gpt.yaml",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one sub-command; returns the exit code (2 = a user's mistake, said in one line)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        from xdancer import __version__

        print(f"xdancer {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"xdancer: unknown command {name!r}. Choose one of: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    return run(name, rest)


def dashed(arguments: list[str]) -> list[str]:
    """`--top-k 5` and `--top_k 5` are the same flag; `-W` and `-H` are short for width and height."""
    flags = []
    for argument in arguments:
        name, sign, value = SHORT.get(argument, argument).partition("=")
        flags.append(name.replace("-", "_").replace("__", "--", 1) + sign + value if name.startswith("--") else argument)
    return flags


def gathered(arguments: list[str], flag: str) -> list[str]:
    """A flag given several times, as train.py takes `--config`, becomes one list under its plural."""
    values, others, words = list[str](), list[str](), iter(arguments)
    for word in words:
        name, sign, value = word.partition("=")
        if name == flag:
            values.append(value if sign else next(words, ""))
        else:
            others.append(word)
    return [*others, f"{flag}s", json.dumps(values)] if values else others


def listed(arguments: list[str], flag: str) -> list[str]:
    """Words that are no flags become one list under `flag`, as in `xdancer doctor data other/data --deep`."""
    words = [word for word in arguments if not word.startswith("-")]
    return [*(word for word in arguments if word.startswith("-")), flag, json.dumps(words)] if words else arguments


def merged_words(arguments: list[str]) -> list[str]:
    """`merge A B --out C`: the words that belong to no flag become one list."""
    words, others = list[str](), list[str]()
    for before, word in zip(["", *arguments[1:]], arguments[1:], strict=False):
        (words if not word.startswith("--") and before != "--out" else others).append(word)
    return [arguments[0], json.dumps(words), *others] if words else arguments


def missing(error: OSError, arguments: list[str]) -> str | None:
    """What to say of a path that is not there and that the arguments name; None for other errors, such as a lost file of the package."""
    if not isinstance(error, FileNotFoundError) or error.filename is None:
        return None
    path = Path(os.fsdecode(error.filename)).absolute()
    given = {Path(argument.partition("=")[2] if argument.startswith("--") else argument).absolute() for argument in arguments}
    named = (given - {Path.cwd()}) & {path, *path.parents}
    return f"{error.filename}: {error.strerror}. Check the path." if named else None


def run(name: str, arguments: list[str]) -> int:
    """Parse the arguments of one command and call its function (or, where the target is a dict, the sub-command's)."""
    from jsonargparse import ActionYesNo, ArgumentParser, auto_cli

    from xdancer.errors import XDancerError, storage_problem
    from xdancer.workers import terminated_like_interrupted

    class Parser(ArgumentParser):
        """Flags as people type them: `--side-by-side`, `--preview` without a value."""

        def add_argument(self, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("type") is bool and args[0].startswith("--"):
                del kwargs["type"]
                kwargs["action"] = ActionYesNo
            return super().add_argument(*args, **kwargs)

        def format_help(self, *args: Any, **kwargs: Any) -> str:
            return re.sub(r"--[a-z_]+", lambda flag: flag[0].replace("_", "-"), super().format_help(*args, **kwargs))

    if name in LEADING and arguments and not arguments[0].startswith("-"):
        arguments = [LEADING[name], *arguments]
    if name == "submit" and "--" in arguments:  # what stands behind it is train.py's
        at = arguments.index("--")
        arguments = [*gathered(arguments[:at], "--config"), "--options", json.dumps(arguments[at + 1 :])]
    elif name in ("plan", "cache-latents", "submit"):
        arguments = gathered(arguments, "--config")
    elif name == "doctor":
        arguments = listed(arguments, "--dirs")
    elif name == "shards" and arguments[:1] == ["merge"]:
        arguments = merged_words(arguments)
    module, attribute = COMMANDS[name][0].split(":")
    component = getattr(importlib.import_module(module), attribute)
    try:
        with terminated_like_interrupted():
            auto_cli(component, args=dashed(arguments), prog=f"xdancer {name}", as_positional=name in POSITIONAL, parser_class=Parser)
    except XDancerError as error:
        print(f"xdancer {name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:
        if (problem := storage_problem(error) or missing(error, arguments)) is None:
            raise
        print(f"xdancer {name}: {problem}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a wrong flag
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        print(f"xdancer {name}: interrupted; finished work is kept, the same command continues.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

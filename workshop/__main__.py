"""How the course's own models are made: `python -m workshop train | evaluate | bench | ... MODEL ...`.

Each command of each model is a module with a `main(arguments)`, imported when it is asked for.
"""

import importlib
import sys
from collections.abc import Sequence

import torch

from helpers.support import commands
from helpers.support.commands import Parser
from helpers.support.errors import InputError

COMMANDS = {
    "train": {
        "vampnet": "workshop.vampnet.training.command",
        "musicgen": "workshop.musicgen.training.command",
        "classify": "workshop.classify.command",
        "omni": "workshop.omni.training.command",
        "follower": "workshop.follower.make",
    },
    "doubt": {"omni": "workshop.omni.doubt"},
    "round": {"classify": "workshop.classify.rounding"},
    "curves": {"vampnet": "workshop.training.curves"},
    "evaluate": {
        "vampnet": "workshop.vampnet.evaluation.command",
        "musicgen": "workshop.musicgen.evaluation.command",
        "classify": "workshop.classify.evaluation.command",
        "omni": "workshop.omni.evaluation.command",
    },
    "mistakes": {"classify": "workshop.classify.evaluation.mistakes"},
    "nights": {"classify": "workshop.classify.evaluation.nights"},
    "hearing": {"vampnet": "workshop.vampnet.evaluation.hearing"},
    "bench": {
        "vampnet": "workshop.vampnet.bench.command",
        "musicgen": "workshop.musicgen.bench.command",
        "omni": "workshop.omni.bench.command",
    },
    "quality": {
        "vampnet": "workshop.vampnet.bench.quality",
        "classify": "workshop.classify.evaluation.bits",
    },
    "streaming": {"vampnet": "workshop.vampnet.bench.streaming"},
    "waiting": {"vampnet": "workshop.vampnet.bench.waiting"},
    "runtimes": {"vampnet": "workshop.vampnet.bench.runtimes"},
    "checkpoints": {
        "vampnet": "workshop.vampnet.bench.checkpoints",
        "musicgen": "workshop.musicgen.bench.checkpoints",
    },
}
HELP = {
    "train": "make a checkpoint",
    "doubt": "choose how sure a model must be to answer",
    "round": "train with rounding, for few bits",
    "curves": "draw the metrics of a training",
    "evaluate": "score a checkpoint on music it has not heard",
    "mistakes": "what a wrong setting of the ear costs",
    "nights": "what a classifier hears in hours of sound, event by event",
    "hearing": "what is wrong with a codec's sound, clip by clip",
    "bench": "time PyTorch and ONNX Runtime side by side",
    "quality": "what 8 bit costs",
    "streaming": "what a long file takes",
    "waiting": "what threads that spin cost on a busy machine",
    "runtimes": "what else than ONNX Runtime takes the graphs",
    "checkpoints": "random weights of the public sizes",
}


def usage() -> str:
    """All commands, and the models that have them."""
    lines = [f"  {name:12} {HELP[name]} ({', '.join(models)})" for name, models in COMMANDS.items()]
    return "\n".join(["usage: python -m workshop COMMAND MODEL ... (each has --help)", *lines])


def chosen(arguments: Sequence[str]) -> str:
    """The module of the command and model that are named first. Raises InputError for others."""
    command, model = [*arguments, "", ""][:2]
    if command not in COMMANDS:
        raise InputError(f"there is no command {command!r}; choose one of {', '.join(COMMANDS)}.")
    if model not in COMMANDS[command]:
        raise InputError(f"{command} takes one of {', '.join(COMMANDS[command])}, not {model!r}.")
    return COMMANDS[command][model]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)

    def run(_: object) -> int | None:
        if not arguments or arguments[0] in ("-h", "--help"):
            return print(usage())
        return importlib.import_module(chosen(arguments)).main(arguments[2:])

    parser = Parser(prog="python -m workshop")
    parser.set_defaults(run=run)
    return commands.main(parser, [])


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # denormal numbers, which small gradients become, are slow on many CPUs
    commands.leave(main())

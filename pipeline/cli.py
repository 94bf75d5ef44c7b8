"""The command `gatescope`; what each of its commands does is in commands.py."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from pipeline import commands
from pipeline.console import messages, say_why
from pipeline.errors import GatescopeError, Interrupted

_RUN_HELP = """\
overrides of the configuration, such as
  gatescope run                                          the built-in model on the built-in corpus
  gatescope run model=Qwen3-0.6B-Base corpus=fineweb-edu corpus.max_tokens=1000000
  gatescope run model.name=org/name-or-folder corpus=local corpus.path=texts.jsonl output=my-neurons
  gatescope run experiment=gluscope model=OLMo-7B-0424-hf corpus=dolma-small
  gatescope run -m model=Qwen3-0.6B-Base,gemma-3-270m    a dataset of each model
A run that was stopped goes on when the same command is given again.
"""
_IMPORT_HELP = """\
such as
  gatescope import sjgerstner/OLMo-7B-0424-hf_neuron-activations olmo-7b
  gatescope import summary.pt olmo-7b --corpus dolma-small --model allenai/OLMo-7B-0424-hf
KEY=VALUE are settings as of `gatescope run`, such as scan.canonical_signs=false.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit code.

    0 done, 1 verify found violations, 2 what the user can mend, 130 interrupted, 143 told to leave;
    of a sweep, that of the first run that failed, where 1 is a fault of the program.
    """
    parser = _parser()
    options, words = parser.parse_known_args(arguments)
    # Those that stand after an option are words like those before it.
    earlier: list[str] | None = getattr(options, "overrides", getattr(options, "words", None))
    if earlier is not None and not any(word.startswith("-") for word in words):
        earlier += words
    elif words:
        parser.error(f"unrecognized arguments: {' '.join(words)}")
    # Read as torch is loaded, which is later. Threads that spin while they wait take the cores from
    # those that work: on a machine with other work to do a scan was 20 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Large pages for large tensors, where Linux has them: a scan is 7% faster, as the lists of its
    # state lie far apart and a forward asks for fresh memory at every step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    console = messages()
    try:
        return int(options.command(options, console) or 0)
    except GatescopeError as error:
        say_why(console, error)
        return 2
    except Interrupted:
        console.print(
            "gatescope: told to leave (SIGTERM); what was done is kept, and the same command "
            "again goes on",
            soft_wrap=True,
        )
        return 143
    except KeyboardInterrupt:
        console.print(
            "gatescope: interrupted; the same command again goes on from what was kept last"
        )
        return 130
    except BrokenPipeError:
        # The reader (`head`, `less`) has gone; give its closed pipe no more to complain about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gatescope", description="For every neuron of a gated language model, its signs."
    )
    names = parser.add_subparsers(required=True, metavar="COMMAND")

    run = names.add_parser(
        "run",
        help="make a dataset: corpus, scan, merge, weights, card",
        epilog=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "-m", "--multirun", action="store_true", help="a run for each of several values, a,b,c"
    )
    run.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    run.set_defaults(command=commands.run)

    status = names.add_parser("status", help="how far a run is, from anywhere")
    status.add_argument("output", help="the folder or URL that the run writes to")
    status.set_defaults(command=commands.status)

    query = names.add_parser(
        "query",
        help="ask a dataset, or several; without a name, list the queries",
        usage="gatescope query [--sql SQL] [--format FORMAT] DATASET... [NAME [PARAM=VALUE...]]",
    )
    query.add_argument(
        "words",
        nargs="+",
        metavar="DATASET",
        help="a folder, URL or Hub id, or several; then a named query and its parameters",
    )
    query.add_argument("--sql", help="a statement of your own instead of a named query")
    query.add_argument("--format", choices=("table", "csv", "json", "parquet"), default="table")
    query.set_defaults(command=commands.query)

    show = names.add_parser("show", help="one neuron in the terminal")
    show.add_argument("dataset", help="a folder, a URL or a Hub id")
    show.add_argument("neuron", metavar="LAYER.NEURON", help="such as 31.9634")
    show.add_argument("--ranking", default="post", help="the ranking of the examples")
    show.add_argument("-n", type=int, default=3, help="examples of each combination")
    show.set_defaults(command=commands.show)

    serve = names.add_parser(
        "serve",
        help="every neuron in the browser",
        usage="gatescope serve DATASET... [--host HOST] [--port PORT] [--model [NAME]]\n"
        "       gatescope serve DATASET... --export DIR",
    )
    serve.add_argument("datasets", nargs="+", metavar="DATASET", help="folders, URLs or Hub ids")
    serve.add_argument("--host", help="the address to listen at (127.0.0.1: this machine alone)")
    serve.add_argument("--port", type=int, help="its port (8000); 0 takes a free one")
    serve.add_argument(
        "--model",
        nargs="?",
        const="",
        metavar="NAME",
        help="load the model too, to try texts; where it is now, if not where the run found it",
    )
    serve.add_argument(
        "--export", metavar="DIR", help="write the viewer as a folder for any web server, and end"
    )
    serve.set_defaults(command=commands.serve)

    figures = names.add_parser("figures", help="draw what both papers show, as PNG, PDF and CSV")
    figures.add_argument("datasets", nargs="+", metavar="DATASET", help="folders, URLs or Hub ids")
    figures.add_argument("--out", default="figures", metavar="DIR", help="where to (figures)")
    figures.set_defaults(command=commands.figures)

    verify = names.add_parser("verify", help="check every invariant of a dataset")
    verify.add_argument("dataset", help="a folder, a URL or a Hub id")
    verify.add_argument(
        "--rerun", type=int, default=0, metavar="N", help="and N stored rows against the model"
    )
    verify.add_argument("--model", help="where the model is now, if not where the run found it")
    verify.set_defaults(command=commands.verify)
    _add_hub_commands(names)
    return parser


def _add_hub_commands(names: Any) -> None:
    """Those that give a dataset to others, and take in theirs."""
    publish = names.add_parser("publish", help="put a dataset on the Hugging Face Hub")
    publish.add_argument("dataset", help="the folder of a dataset")
    publish.add_argument("repo", metavar="ORG/NAME", help="the repository on the Hub")
    publish.add_argument("--public", action="store_true", help="everyone may read it")
    publish.add_argument("--space", action="store_true", help="and the viewer, as a static Space")
    publish.add_argument("--no-corpus", action="store_true", help="leave the texts at home")
    publish.add_argument("--dry-run", action="store_true", help="say what would be sent, and end")
    publish.set_defaults(command=commands.publish)

    take_in = names.add_parser(
        "import",
        help="take in a published GLUScope activation dataset",
        epilog=_IMPORT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    take_in.add_argument(
        "source", help="a Parquet file, a folder, a Hub id or URL, or a summary*.pt"
    )
    take_in.add_argument("dataset", help="the folder or URL to write")
    take_in.add_argument(
        "--corpus", metavar="PLACE", help="its texts: a name in conf/corpus, a file, a folder"
    )
    take_in.add_argument(
        "--model", metavar="NAME", help="its model, for weights, positions and windows"
    )
    take_in.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    take_in.set_defaults(command=commands.take_in)

    export = names.add_parser("export", help="write a dataset, or neurons of it, for other tools")
    export.add_argument("dataset", help="a folder, a URL or a Hub id")
    export.add_argument("out", metavar="OUT", help="the file or folder to write")
    export.add_argument(
        "--format",
        required=True,
        choices=("gluscope", "neuronpedia", "html"),
        help="GLUScope's schema, Neuronpedia's importer, or one page that needs nothing else",
    )
    export.add_argument(
        "--neurons", nargs="+", default=[], metavar="LAYER.NEURON", help="these alone"
    )
    export.set_defaults(command=commands.export)

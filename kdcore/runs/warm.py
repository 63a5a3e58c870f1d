"""Imports everything a run needs, then waits for a run directory, so that the run starts fast."""

import os
import select
import sys
import tempfile
from pathlib import Path

from kdcore.spec.run import READY

STDIN, STDOUT, STDERR = 0, 1, 2


def wait_for_directory() -> Path | None:
    """Warm up, print `ready`, and return the run directory that a line on stdin names.

    Returns None if stdin is closed before a complete line: there is nothing to run. A line that
    arrives during the warm-up cuts it short, so that this never takes longer than a cold start.
    Afterwards the process looks like a cold run's: stdin is empty, and stdout goes to stderr.
    """
    _warm_up()
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    line = sys.stdin.readline()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, STDIN)
    os.close(nothing)
    os.dup2(STDERR, STDOUT)
    # TMPDIR may be relative, and the working directory may have moved since tempfile resolved it.
    tempfile.tempdir = None
    return Path(line[:-1]) if line.endswith("\n") else None


def _warm_up() -> None:
    """Import what runs import, and train once: torch loads some of its code at its first use.

    This leaves nothing changed that decides a run's bits: generators are restored, and threads,
    precision and determinism are not touched.
    """
    import kdcore.runs.distill
    import kdcore.runs.inspect  # noqa: F401

    for stage in (train_once, _import_foreign):
        if not _stdin_has_data():
            stage()


def train_once() -> None:
    """Make one training step of a small network on the default device, and discard it."""
    import torch
    from torch.nn import functional

    from kdcore.networks.zoo import build_network
    from kdcore.runtime.seeds import random_state, restore_random_state
    from kdcore.spec.recipe import Sgd
    from kdcore.spec.run import Network
    from kdcore.training.optim import make_optimizer

    states = random_state()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = build_network(Network(architecture="resnet8", num_classes=2)).to(device)
    optimizer = make_optimizer(Sgd(), dict(network.named_parameters()))
    images_BCHW = torch.zeros(2, 3, 32, 32, device=device)
    images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    labels_B = torch.zeros(2, dtype=torch.int64, device=device)
    loss = functional.cross_entropy(network(images_BCHW), labels_B)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    restore_random_state(*states)


def _import_foreign() -> None:
    """Import the libraries of networks, which a run needs if its spec names one of theirs."""
    from kdcore.networks.foreign import LIBRARIES, model_names

    for library in LIBRARIES:
        if not _stdin_has_data():
            model_names(library)


def _stdin_has_data() -> bool:
    """Whether a line, or the end of the file, has arrived."""
    return bool(select.select([STDIN], [], [], 0)[0])

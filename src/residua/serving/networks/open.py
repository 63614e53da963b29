"""Open what is served: an export, a converted graph, or a run by torch, which is imported for the last alone."""

from __future__ import annotations

from pathlib import Path

from residua.runtime.engines.names import CONVERTED, check_choice
from residua.serving.networks.export_folder import is_export, open_export
from residua.serving.networks.kept_graph import has_weights, open_kept
from residua.serving.networks.network import Computation, Network, Source


def open_network(source: Source, computing: Computation) -> Network:
    """Open a run, an export or weights by name; takes seconds.

    Raises:
        InputError: nothing there that can be served, or not by this engine in this precision on this device.
    """
    check_choice(computing.engine, computing.precision)
    folder = Path(source)
    if is_export(folder) and not has_weights(folder):
        return open_export(folder, computing)
    # A form in int8 is found by the values of the weights, which torch holds.
    kept = computing.engine in CONVERTED and computing.precision != "int8"
    if kept and computing.device in (None, "cpu") and has_weights(folder):
        return open_kept(folder, computing)
    from residua.serving.networks.run_network import RunNetwork

    return RunNetwork.open(source, computing)


def can_be_served(folder: Path) -> bool:
    """Return whether a folder of a repository is a run or an export."""
    return has_weights(folder) or is_export(folder)

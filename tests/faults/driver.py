"""A forwarder alone in its process, from the extension with crash points: settings on stdin, how it ended on stdout."""

from __future__ import annotations

import ast
import json
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader


def load(path: str) -> None:
    """Makes the extension at `path` the one that `fanout` finds."""
    loader = ExtensionFileLoader("fanout._fanout", path)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[loader.name] = module


def main() -> None:
    """Runs every lane to its end."""
    # Not before the extension was chosen.
    from fanout._fanout import Forwarder  # noqa: PLC0415
    from fanout.config.forward import ForwardSettings  # noqa: PLC0415

    forwarder = Forwarder(ForwardSettings(**ast.literal_eval(sys.stdin.read())))
    ends = forwarder.run()
    ended = {end.partition: end.outcome for end in ends}
    errors = [str(end.error) for end in ends if end.error is not None]
    renewals = sum(lane.renewals for lane in forwarder.stats())
    print(json.dumps({"ended": ended, "errors": errors, "renewals": renewals}))


if __name__ == "__main__":
    load(sys.argv[1])
    main()

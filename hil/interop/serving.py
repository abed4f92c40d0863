"""`pnnlab serve` for as long as a block lasts, and what must be the same."""

import json
import pathlib
import subprocess
import tempfile

RIGS = pathlib.Path(__file__).resolve().parent.parent / "rigs"


class Serving:
    """`pnnlab serve` with a rig of the project, in which `changes` are made: resource strings by instrument."""

    def __init__(self, program, rig, *more, changes=()):
        text = (RIGS / rig).read_text()
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        self.folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.folder.name) / rig
        path.write_text(text)
        self.child = subprocess.Popen(
            [program, "serve", str(path), "--json", *more], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )

    def __enter__(self):
        served = json.loads(self.child.stdout.readline())
        return {one["instrument"]: one["visa"] for one in served["instruments"]}

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(10)
        self.folder.cleanup()


def place(resource):
    """The host and port in a resource string of VISA."""
    _, host, port, _ = resource.split("::")
    return host, int(port)


def same(found, expected, what):
    if found != expected:
        raise SystemExit(f"{what}: {found!r}, but {expected!r} was expected")

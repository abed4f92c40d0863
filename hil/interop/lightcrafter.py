"""The worker of labscript-devices on the served LightCrafter: its packets, answers and errors. What it imports for its windows, its
experiment files and its base class is replaced by nothing; the dialogue is its own."""

import base64
import contextlib
import socket
import struct
import sys
import types
from unittest import mock

from serving import Serving, place, same


class Nothing(types.ModuleType):
    """A module of which everything can be imported."""

    __all__ = ()
    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def imported():
    """The module with the worker."""
    names = "labscript_utils labscript_utils.h5_lock h5py labscript blacs blacs.tab_base_classes blacs.device_base_class qtutils qtutils.qt"
    for name in (*names.split(), "qtutils.qt.QtCore", "qtutils.qt.QtGui", "labscript_devices"):
        sys.modules[name] = Nothing(name)
    # Decorators of classes.
    for name in ("labscript_device", "BLACS_tab", "BLACS_worker", "runviewer_parser"):
        setattr(sys.modules["labscript_devices"], name, lambda it: it)
    import importlib.metadata
    import importlib.util

    path = importlib.metadata.distribution("labscript-devices").locate_file("labscript_devices/LightCrafterDMD.py")
    spec = importlib.util.spec_from_file_location("LightCrafterDMD", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Table(list):
    """The images of an experiment file, which can be compared as numpy's are."""

    def __getitem__(self, key):
        return self if key == slice(None) else super().__getitem__(key)


class Image(bytes):
    def tostring(self):
        return bytes(self)


def worker(program):
    module = imported()
    with Serving(program, "optical.toml") as instruments:
        host, port = place(instruments["optical-shaper"])
        driver = module.LightCrafterWorker()
        driver.server = f"{host}:{port}"
        driver.init()
        driver.program_manual({"None": base64.b64encode(module.BLANK_BMP)})
        checker = module.arr_to_bmp(module.np.indices((module.HEIGHT, module.WIDTH)).sum(0) % 2)
        images = Table([Image(checker), Image(module.BLANK_BMP), Image(checker)])
        file = {"/devices/dmd": {"IMAGE_TABLE": images}}
        with mock.patch.object(module.h5py, "File", lambda *_: contextlib.nullcontext(file), create=True):
            driver.transition_to_buffered("dmd", "shot.h5", {}, True)
        driver.transition_to_manual()
        # It asks for nothing; what is set is asked by the bytes of its manual.
        asked = driver.send_packet_type["read"] + driver.command["sequence_setting"] + bytes(3)
        driver.sock.sendall(asked + bytes([sum(asked) % 256]))
        answer = driver._receive()
        same(answer["type"], "Read response", "the answer to a question")
        same(struct.unpack("<BBBBiiiB", answer["body"]), (1, 4, 0, 2, 0, 0, 0, 0), "the sequence, padded to four")
        try:
            driver.send(driver.send_packet_type["write"], driver.command["pattern_definition"], b"\x09" + checker)
        except Exception as error:
            # The worker looks the code up by the wrong type and shows the code itself.
            same(error.args, (3,), "the refusal of a pattern that has no place")
        else:
            raise SystemExit("a pattern that has no place is taken")
        driver.abort()
        # A second program is answered while the worker is connected.
        with socket.create_connection((host, port), 5) as second:
            second.sendall(bytes([4, 1, 1, 0, 0, 0, 6]))
            same(second.recv(64), bytes([5, 1, 1, 0, 1, 0, 0, 8]), "the display mode over a second connection")
        driver.shutdown()

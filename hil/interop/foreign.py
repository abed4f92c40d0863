"""A SCPI instrument that nobody here wrote: device 4 of PyVISA-sim's own bundled instruments (IDN, error queue, a voltage
from 1 to 6 V), behind the TCP server of sinstruments. This file only hands lines from one to the other."""

from pyvisa_sim import parser
from sinstruments.simulator import BaseDevice


class Bundled(BaseDevice):
    """Hands each line to the bundled instrument."""

    def __init__(self, name, **options):
        super().__init__(name, **options)
        devices = parser.get_devices("default.yaml", True)
        names = [name for name in devices.list_resources() if devices[name].name == "device 4" and "TCPIP" in name]
        self.instrument = devices[names[0]]

    def handle_message(self, line):
        self.instrument.write(line.strip() + b"\n")
        answer = bytearray()
        while True:
            piece, _ = self.instrument.read()
            if not piece:
                return bytes(answer) or None
            answer += piece

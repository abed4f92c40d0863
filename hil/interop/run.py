"""Other people's programs against ours, over real sockets and pseudo-terminals.

1. PyVISA with pyvisa-py drives the instruments that `pnnlab serve` serves: queries, errors, *OPC?, blocks both ways.
2. PyMeasure's own driver of a Red Pitaya does, and a driver that a user of PyMeasure would write for the SCPI pair.
3. QCoDeS does, with drivers as its users write them, and easy_scpi and InstrumentKit do.
4. python-seabreeze opens the served spectrometer; the worker of labscript-devices drives the served LightCrafter.
5. Our SCPI driver drives an instrument that nobody here wrote (see foreign.py).

    python run.py PNNLAB ASK        the two programs: target/debug/pnnlab, target/debug/examples/ask
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import pyvisa

import easy_scpi_bench
import instrumentkit_bench
import lightcrafter
import pymeasure_bench
import qcodes_bench
import seabreeze_spectrometer
from serving import Serving, same

HERE = pathlib.Path(__file__).resolve().parent


def opened(manager, resource, end="\n"):
    instrument = manager.open_resource(resource)
    instrument.read_termination = instrument.write_termination = end
    instrument.timeout = 5000
    return instrument


def red_pitaya(manager, program, *more):
    """A Red Pitaya as its own examples drive it."""
    with Serving(program, "red-pitaya.toml", *more) as instruments:
        pitaya = opened(manager, instruments["electrical"], "\r\n")
        identity = pitaya.query("*IDN?")
        assert "simulated" in identity and identity.startswith("REDPITAYA"), identity
        same(pitaya.query("*OPC?"), "1", "*OPC?")
        pitaya.write("NONSENSE:HEADER 1")
        same(pitaya.query("SYST:ERR?"), '-113,"Undefined header;NONSENSE:HEADER"', "the error of an unknown header")
        same(pitaya.query("SYST:ERR?"), '0,"No error"', "an empty error queue")
        same(int(pitaya.query("*ESR?")) & 32, 32, "the command error bit")
        pitaya.write("SOUR1:VOLT 3")
        same(pitaya.query("SYST:ERR?").split(",")[0], "9506", "a voltage out of range")
        pitaya.write("ACQ:DATA:FORMAT BIN;:SOUR1:VOLT 1")
        samples = [0.5] * 32 + [-0.5] * 32 + [0.0] * 500
        pitaya.write_ascii_values("SOUR1:TRAC:DATA:DATA ", samples)
        pitaya.write("OUTPUT1:STATE ON")
        pitaya.write("ACQ:START")
        pitaya.write("ACQ:TRIG AWG_PE")
        pitaya.write("SOUR1:TRIG:INT")
        same(pitaya.query("ACQ:TRIG:STAT?"), "TD", "the trigger")
        query = f"ACQ:SOUR1:DATA:STA:N? 0,{len(samples)}"
        block = pitaya.query_binary_values(query, datatype="f", is_big_endian=True)
        same(len(block), len(samples), "the samples in a block")
        pitaya.write("ACQ:DATA:FORMAT ASCII")
        text = pitaya.query(query).strip("{}").split(",")
        same(len(text), len(block), "the samples as text")
        assert all(abs(float(a) - b) < 1e-6 for a, b in zip(text, block)), "text and block differ"
        assert 0.01 < max(map(abs, block)) < 1.0, "the circuit does not answer"
        pitaya.write("OUTPUT1:STATE OFF")
        same(pitaya.query("OUTPUT1:STATE?"), "OFF", "the output")
        pitaya.close()


def pair(manager, program):
    """A generator and a digitizer on one bench, with blocks both ways."""
    with Serving(program, "scpi.toml") as instruments:
        generator = opened(manager, instruments["electrical-generator"])
        digitizer = opened(manager, instruments["electrical-digitizer"])
        samples = [0.4] * 64 + [0.0] * 500
        generator.write_binary_values("SOUR1:DATA:ARB BURST,", samples, datatype="f", is_big_endian=True)
        same(generator.query("OUTP1 ON;*OPC?"), "1", "*OPC? after a block")
        same(generator.query("SYST:ERR?"), '0,"No error"', "an error after a block")
        # Two connections have no order between them: the answer says that the digitizer waits before the generator plays.
        digitizer.write("INIT")
        same(digitizer.query("SYST:ERR?"), '0,"No error"', "an error after arming")
        generator.write("*TRG")
        same(generator.query("*OPC?"), "1", "*OPC? after the trigger")
        read = digitizer.query_binary_values("FETC:WAV? 564", datatype="f", is_big_endian=True)
        same(len(read), len(samples), "what the digitizer took of what the generator played")
        assert 0.01 < max(map(abs, read)) < 1.0, "the circuit does not answer"
        generator.close()
        digitizer.close()


def foreign(ask):
    """Our driver on an instrument that nobody here wrote."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "devices.json"
        transport = {"type": "tcp", "url": "127.0.0.1:0"}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        transport["url"] = f"127.0.0.1:{port}"
        device = {"class": "Bundled", "package": "foreign", "name": "bundled", "transports": [transport]}
        config.write_text(json.dumps({"devices": [device]}))
        server = subprocess.Popen(
            [sys.executable, "-m", "sinstruments", "-c", str(config)], cwd=HERE, stderr=subprocess.DEVNULL
        )
        try:
            address = f"tcp://127.0.0.1:{port}"

            def asked(*lines):
                return subprocess.run([ask, "--plain", address, *lines], capture_output=True, text=True, timeout=20)

            bound = time.monotonic() + 20
            while (answer := asked("*IDN?")).returncode != 0 and time.monotonic() < bound:
                pass
            same(answer.stdout.strip(), "SCPI,MOCK,VERSION_1.0", f"the identity ({answer.stderr.strip()})")
            answer = asked(":VOLT:IMM:AMPL 2.000", ":VOLT:IMM:AMPL?")
            same(float(answer.stdout), 2.0, f"a setting read back ({answer.stderr.strip()})")
            refused = asked("NONSENSE 1")
            assert refused.returncode != 0 and "Command error" in refused.stderr, refused
        finally:
            server.terminate()
            server.wait(10)


def main():
    program, ask = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:3])
    manager = pyvisa.ResourceManager("@py")
    red_pitaya(manager, program)
    print("PyVISA drives the served Red Pitaya over TCP")
    red_pitaya(manager, program, "--pty")
    print("PyVISA drives the served Red Pitaya over a pseudo-terminal")
    pair(manager, program)
    print("PyVISA drives the served generator and digitizer, blocks both ways")
    pymeasure_bench.red_pitaya(program)
    print("PyMeasure's driver of a Red Pitaya drives the served one")
    pymeasure_bench.pair(program)
    print("PyMeasure drives the served generator and digitizer")
    qcodes_bench.red_pitaya(program)
    print("QCoDeS drives the served Red Pitaya")
    qcodes_bench.pair(program)
    print("QCoDeS drives the served generator and digitizer")
    easy_scpi_bench.pair(program)
    print("easy_scpi drives the served generator and digitizer")
    instrumentkit_bench.pair(program)
    print("InstrumentKit drives the served generator and digitizer")
    seabreeze_spectrometer.spectrometers(program)
    print("python-seabreeze reads the served spectrometer, as a model of its own and as an HDX")
    lightcrafter.worker(program)
    print("labscript's worker drives the served LightCrafter")
    foreign(ask)
    print("our driver drives PyVISA-sim's bundled instrument behind the server of sinstruments")


main()

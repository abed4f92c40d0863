"""InstrumentKit on the served pair: its generic SCPI instrument over its own socket."""

from instruments.generic_scpi import SCPIInstrument

from serving import Serving, place, same


def pair(program):
    with Serving(program, "scpi.toml") as instruments:
        for name in ("electrical-generator", "electrical-digitizer"):
            instrument = SCPIInstrument.open_tcpip(*place(instruments[name]))
            assert "simulated" in instrument.name, instrument.name
            same(instrument.scpi_version, "1999.0", "the version of SCPI")
            instrument.clear()
            instrument.reset()
            same((instrument.self_test_ok, instrument.op_complete), (True, True), "its test, and that nothing goes on")
            same(instrument.check_error_queue(), [], "the error queue")
            instrument.sendcmd("NONSENSE 1")
            same([int(code) for code in instrument.check_error_queue()], [-113], "the error of an unknown header")

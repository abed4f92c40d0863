"""easy_scpi on the served pair: commands as attributes of a Python object."""

import easy_scpi

from serving import Serving, same


def opened(resource):
    options = {"backend": "@py", "port_match": False, "read_termination": "\n", "write_termination": "\n", "timeout": 5000}
    instrument = easy_scpi.Instrument(resource, **options)
    instrument.connect()
    return instrument


def pair(program):
    with Serving(program, "scpi.toml") as instruments:
        generator, digitizer = opened(instruments["electrical-generator"]), opened(instruments["electrical-digitizer"])
        assert "simulated" in generator.id and "simulated" in digitizer.id, (generator.id, digitizer.id)
        generator.reset()
        generator.sour1.func.arb.srat(1e6)
        same(float(generator.sour1.func.arb.srat()), 1e6, "the sample rate")
        generator.instrument.write_binary_values("SOUR1:DATA:ARB BURST,", [0.4] * 64 + [0.0] * 500, datatype="f", is_big_endian=True)
        generator.outp1("ON")
        same(easy_scpi.Property.val2bool(generator.outp1()), True, "the output")
        digitizer.init()
        same(digitizer.syst.err(), '0,"No error"', "the error queue after arming")
        same(generator.query("*TRG;*OPC?"), "1", "*OPC? after the trigger")
        read = digitizer.instrument.query_binary_values("FETC:WAV? 564", datatype="f", is_big_endian=True)
        same(len(read), 564, "samples")
        # A command without a value is written with a space behind it.
        digitizer.abor("")
        same(digitizer.syst.err().split(",")[0], "-113", "the error of a command that this instrument does not have")
        generator.outp1("OFF")
        generator.nonsense.header(1)
        same(generator.syst.err().split(",")[0], "-113", "the error of an unknown header")
        generator.disconnect()
        digitizer.disconnect()

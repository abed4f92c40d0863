"""QCoDeS on the served instruments: drivers as its users write them, with parameters, identities and snapshots."""

from qcodes.instrument import VisaInstrument
from qcodes.validators import Numbers

from serving import Serving, same


class RedPitaya(VisaInstrument):
    """A Red Pitaya as a user of QCoDeS describes it."""

    def __init__(self, name, address):
        super().__init__(name, address, terminator="\r\n", visalib="@py", timeout=5)
        self.add_parameter("amplitude", get_cmd="SOUR1:VOLT?", set_cmd="SOUR1:VOLT {}", get_parser=float, unit="V", vals=Numbers(0, 1))
        self.add_parameter("frequency", get_cmd="SOUR1:FREQ:FIX?", set_cmd="SOUR1:FREQ:FIX {}", get_parser=float, unit="Hz")
        self.add_parameter("output", get_cmd="OUTPUT1:STATE?", set_cmd="OUTPUT1:STATE {}", val_mapping={True: "ON", False: "OFF"})
        self.add_parameter("decimation", get_cmd="ACQ:DEC?", set_cmd="ACQ:DEC {}", get_parser=int)
        self.add_parameter("trigger", get_cmd="ACQ:TRIG:STAT?", set_cmd="ACQ:TRIG {}")
        self.add_parameter("error", get_cmd="SYST:ERR?")


class Pair(VisaInstrument):
    """One instrument of the pair."""

    def __init__(self, name, address):
        super().__init__(name, address, terminator="\n", visalib="@py", timeout=5)
        self.add_parameter("error", get_cmd="SYST:ERR?")


def red_pitaya(program):
    with Serving(program, "red-pitaya.toml") as instruments:
        pitaya = RedPitaya("pitaya", instruments["electrical"])
        identity = pitaya.get_idn()
        same(identity["vendor"], "REDPITAYA", f"the vendor in {identity}")
        pitaya.amplitude(0.5)
        pitaya.frequency(100_000)
        pitaya.decimation(8)
        same((pitaya.amplitude(), pitaya.frequency(), pitaya.decimation()), (0.5, 1e5, 8), "settings that are read back")
        pitaya.output(True)
        pitaya.write("ACQ:START")
        pitaya.trigger("NOW")
        same(pitaya.trigger(), "TD", "the trigger")
        samples = [float(text) for text in pitaya.ask("ACQ:SOUR1:DATA?").strip("{}").split(",")]
        same(len(samples), 16384, "samples")
        pitaya.output(False)
        parameters = pitaya.snapshot(update=True)["parameters"]
        same((parameters["output"]["value"], parameters["amplitude"]["value"]), (False, 0.5), "a snapshot")
        same(pitaya.error().split(",")[0], "0", "the error queue")
        pitaya.write("NONSENSE 1")
        same(pitaya.error().split(",")[0], "-113", "the error of an unknown header")
        pitaya.close()


def pair(program):
    with Serving(program, "scpi.toml") as instruments:
        generator = Pair("generator", instruments["electrical-generator"])
        digitizer = Pair("digitizer", instruments["electrical-digitizer"])
        assert "simulated" in str(generator.get_idn()) and "simulated" in str(digitizer.get_idn()), generator.get_idn()
        samples = [0.4] * 64 + [0.0] * 500
        generator.visa_handle.write_binary_values("SOUR1:DATA:ARB BURST,", samples, datatype="f", is_big_endian=True)
        same(generator.ask("OUTP1 ON;*OPC?"), "1", "*OPC?")
        same(digitizer.ask("INIT;:SYST:ERR?"), '0,"No error"', "the error queue after arming")
        same(generator.ask("*TRG;*OPC?"), "1", "*OPC? after the trigger")
        read = digitizer.visa_handle.query_binary_values("FETC:WAV? 564", datatype="f", is_big_endian=True)
        same(len(read), 564, "samples")
        assert 0.01 < max(map(abs, read)) < 1.0, "the circuit does not answer"
        generator.write("OUTP1 OFF")
        generator.write("SOUR1:FUNC NOSUCH")
        same(generator.error().split(",")[0], "-224", "the error of a word that is none")
        generator.close()
        digitizer.close()

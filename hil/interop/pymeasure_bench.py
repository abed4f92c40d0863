"""PyMeasure on the served instruments: its own driver of a Red Pitaya, and drivers as its users write them."""

import datetime

from pymeasure.instruments import Instrument, SCPIMixin
from pymeasure.instruments.redpitaya import RedPitayaScpi

from serving import Serving, same


def red_pitaya(program):
    with Serving(program, "red-pitaya.toml") as instruments:
        pitaya = RedPitayaScpi(instruments["electrical"], visa_library="@py", timeout=5000)
        assert "simulated" in pitaya.id, pitaya.id
        pitaya.clear()
        assert pitaya.board_name, "the board has no name"
        pitaya.date = datetime.date(2026, 2, 3)
        same(pitaya.date, datetime.date(2026, 2, 3), "the date")
        pitaya.time = datetime.time(1, 2, 3)
        same(pitaya.time.hour, 1, "the hour")

        pitaya.digital_reset()
        pitaya.led0.enabled = True
        same((pitaya.led0.enabled, pitaya.led1.enabled), (True, False), "the lights")
        pitaya.dioN1.direction_in = False
        pitaya.dioN1.enabled = True
        same((pitaya.dioN1.direction_in, pitaya.dioN1.enabled), (False, True), "a pin")
        pitaya.aoutslow0.voltage = 1.2
        assert 0 <= pitaya.ainslow0.voltage <= 3.3, "a slow input is out of its range"

        pitaya.acquisition_reset()
        pitaya.decimation = 8
        same(pitaya.decimation, 8, "the decimation")
        pitaya.average_skipped_samples = False
        same(pitaya.average_skipped_samples, False, "averaging")
        pitaya.acq_units, pitaya.acq_format = "VOLTS", "ASCII"
        same(pitaya.acq_units, "VOLTS", "the unit")
        pitaya.ain1.gain = "LV"
        same(pitaya.ain1.gain, "LV", "the gain")
        same(pitaya.buffer_length, 16384, "the buffer")
        pitaya.acq_trigger_level = 0.1
        assert abs(pitaya.acq_trigger_level - 0.1) < 1e-3, pitaya.acq_trigger_level
        pitaya.acq_trigger_delay_samples = 8192
        same(pitaya.acq_trigger_delay_samples, 8192, "the delay of the trigger")

        # Plays a sine wave and reads it: PyMeasure has no driver of the generator, so its user writes the lines.
        for line in ("SOUR1:FUNC SINE", "SOUR1:FREQ:FIX 100000", "SOUR1:VOLT 0.5", "OUTPUT1:STATE ON"):
            pitaya.write(line)
        pitaya.acquisition_start()
        pitaya.acq_trigger_source = "NOW"
        pitaya.write("SOUR1:TRIG:INT")
        same(pitaya.acq_trigger_status, True, "the trigger")
        same(pitaya.acq_buffer_filled, True, "the buffer is full")
        assert 0 <= pitaya.acq_trigger_position < 16384, pitaya.acq_trigger_position
        pitaya.acquisition_stop()
        same(len(pitaya.ain1.get_data()), 16384, "all samples")
        samples = pitaya.ain1.get_data(1000)
        same(len(samples), 1000, "the oldest samples")
        assert 0.01 < abs(samples).max() < 1.1, abs(samples).max()
        pitaya.write("OUTPUT1:STATE OFF")
        same(pitaya.check_errors(), [], "errors")
        pitaya.write("NONSENSE 1")
        same([int(error[0]) for error in pitaya.check_errors()], [-113], "the error of an unknown header")
        pitaya.shutdown()


class Generator(SCPIMixin, Instrument):
    """The generator of the pair as a user of PyMeasure describes it."""

    output = Instrument.control("OUTP1?", "OUTP1 %d", "Control the output.", values={True: 1, False: 0}, map_values=True)
    rate = Instrument.control("SOUR1:FUNC:ARB:SRAT?", "SOUR1:FUNC:ARB:SRAT %g", "Control the sample rate in Hz.")


class Digitizer(SCPIMixin, Instrument):
    """The digitizer of the pair."""


def pair(program):
    with Serving(program, "scpi.toml") as instruments:
        options = {"visa_library": "@py", "read_termination": "\n", "write_termination": "\n", "timeout": 5000}
        generator = Generator(instruments["electrical-generator"], "generator", **options)
        digitizer = Digitizer(instruments["electrical-digitizer"], "digitizer", **options)
        assert "simulated" in generator.id and "simulated" in digitizer.id, (generator.id, digitizer.id)
        generator.reset()
        same(generator.check_errors(), [], "errors after a reset")
        samples = [0.4] * 64 + [0.0] * 500
        generator.write_binary_values("SOUR1:DATA:ARB BURST,", samples, datatype="f", is_big_endian=True, termination="\n")
        generator.output = True
        same(generator.output, True, "the output")
        same(int(generator.complete), 1, "*OPC?")
        digitizer.write("INIT")
        same(digitizer.check_errors(), [], "errors after arming")
        generator.write("*TRG")
        same(int(generator.complete), 1, "*OPC? after the trigger")
        # PyMeasure's own reading of blocks waits until nothing has come for the timeout.
        connection = digitizer.adapter.connection
        read = connection.query_binary_values("FETC:WAV? 564", datatype="f", is_big_endian=True)
        same(len(read), 564, "samples")
        assert 0.01 < max(map(abs, read)) < 1.0, "the circuit does not answer"
        generator.output = False
        same(generator.output, False, "the output")
        generator.rate = 1e6
        same(generator.rate, 1e6, "the sample rate")
        generator.write("SOUR1:FUNC NOSUCH")
        same([int(error[0]) for error in generator.check_errors()], [-224], "the error of a word that is none")
        generator.shutdown()
        digitizer.shutdown()

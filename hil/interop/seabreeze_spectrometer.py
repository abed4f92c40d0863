"""python-seabreeze on the served spectrometer: its own network transport, protocol and features."""

import itertools
import time

import numpy
import seabreeze
from seabreeze.pyseabreeze import devices, features, protocol, transport
from seabreeze.pyseabreeze.exceptions import SeaBreezeError

from serving import Serving, place, same


class Served(devices.SeaBreezeDevice):
    """The served spectrometer, described as seabreeze describes each model: 1000 pixels of 32 bits, as a QE Pro sends them."""

    model_name = "SERVED"
    transport = (transport.IPv4Transport,)
    ipv4_protocol = protocol.OBPProtocol
    dark_pixel_indices = devices.DarkPixelIndices.from_ranges()
    integration_time_min = 10
    integration_time_max = 1600000000
    integration_time_base = 1
    spectrum_num_pixel = 1000
    spectrum_raw_length = (1000 * 4) + 32
    spectrum_max_value = (2**18) - 1
    trigger_modes = devices.TriggerMode.supported("OBP_NORMAL")
    feature_classes = (
        features.spectrometer.SeaBreezeSpectrometerFeatureQEPRO,
        features.nonlinearity.NonlinearityCoefficientsFeatureOBP,
    )


class ServedRaw(Served):
    """The same by the message for pixels of 16 bits, which STS and Spark have."""

    model_name = "SERVED-RAW"
    spectrum_num_pixel = 1000
    spectrum_raw_length = 2000
    spectrum_max_value = 65535
    dark_pixel_indices = devices.DarkPixelIndices.from_ranges()
    integration_time_min = 10
    integration_time_max = 85000000
    integration_time_base = 1
    trigger_modes = devices.TriggerMode.supported("OBP_NORMAL")
    feature_classes = (features.spectrometer.SeaBreezeSpectrometerFeatureSTS,)


def opened(model, host, port):
    transport.IPv4Transport.devices_ip_port[(host, port)] = model
    device = devices.SeaBreezeDevice(transport.IPv4TransportHandle(host, port))
    device.open()
    return device


def used(model, host, port, pixels):
    """What its user does: identify, set, read, be refused, go on."""
    device = opened(model, host, port)
    same((device.model, device.serial_number), (model, "SIMULATED-1"), "the model and its serial number")
    spectrometer = device.f.spectrometer
    wavelengths = spectrometer.get_wavelengths()
    same(len(wavelengths), pixels, "pixels")
    assert abs(wavelengths[0] - 390) < 1e-3 and all(a < b for a, b in itertools.pairwise(wavelengths)), wavelengths
    spectrometer.set_trigger_mode(0)
    spectrometer.set_integration_time_micros(50_000)
    start = time.monotonic()
    intensities = spectrometer.get_intensities()
    assert 0.05 <= time.monotonic() - start, "it came sooner than it was integrated"
    same(len(intensities), pixels, "the pixels of a spectrum")
    assert 0 <= intensities.min() and intensities.max() <= spectrometer.get_maximum_intensity(), intensities
    if device.f.nonlinearity_coefficients:
        same(device.f.nonlinearity_coefficients.get_nonlinearity_coefficients(), [1.0], "its coefficients")
    # A setting that is refused hangs nobody: what follows is answered.
    spectrometer.protocol.send(0x00110010, 1)
    same(numpy.frombuffer(spectrometer.protocol.query(0x00000100), numpy.uint8).size, 11, "the serial number after that")
    # A second program is answered beside the first.
    second = transport.IPv4Transport(protocol.OBPProtocol)
    second.open_device(transport.IPv4TransportHandle(host, port))
    same(second.protocol.query(0x00000100), b"SIMULATED-1", "the serial number over a second connection")
    try:
        second.protocol.query(0x00181101, 9, timeout_ms=2000)
    except (SeaBreezeError, TimeoutError) as error:
        # seabreeze then waits for more, which does not come.
        assert isinstance(error, TimeoutError) or "does not exist" in str(error), error
    else:
        raise SystemExit("a coefficient that is none is answered")
    second.close_device()
    device.close()


def spectrometers(program):
    with Serving(program, "optical.toml") as instruments:
        host, port = place(instruments["optical-spectrometer"])
        used("SERVED", host, port, 1000)
        used("SERVED-RAW", host, port, 1000)
    changes = [("full_scale_codes = 262143", "pixels = 2068\nfull_scale_codes = 262143")]
    with Serving(program, "optical.toml", changes=changes) as instruments:
        host, port = place(instruments["optical-spectrometer"])
        used("HDX", host, port, 2068)
        # The front door of seabreeze, as its documentation has it.
        seabreeze.use("pyseabreeze")
        from seabreeze.spectrometers import Spectrometer

        spectrometer = Spectrometer(devices.SeaBreezeDevice(transport.IPv4TransportHandle(host, port)))
        same((spectrometer.serial_number, spectrometer.model), ("SIMULATED-1", "HDX"), "the serial number and model")
        spectrometer.integration_time_micros(20_000)
        wavelengths, intensities = spectrometer.spectrum()
        same((len(wavelengths), len(intensities)), (2068, 2068), "a spectrum")
        spectrometer.close()

//! The electrical twin as one would write it down: one shot after another, sample by sample, in `f32`.

use drivers::Batch;
use sims::Electrical;

/// What the nominal twin predicts.
///
/// Coil and node advance by a semi-implicit Euler step; the junction is linearized about the last node voltage.
pub fn scalar_twin(config: &Electrical, inputs: &Batch) -> Batch {
    let device = &config.device;
    let omega = std::f64::consts::TAU * config.resonance_hertz;
    let (l, c) = ((config.impedance_ohms / omega) as f32, (1.0 / (omega * config.impedance_ohms)) as f32);
    let r = (config.impedance_ohms / config.quality) as f32;
    let h = (1.0 / (config.sample_rate_hertz * config.substeps as f64)) as f32;
    let (own, scale) = (device.own as f32, device.scale_volts as f32);
    let (offset, current_scale, load) =
        (device.offset_volts as f32, device.current_amperes as f32, config.load_ohms as f32);
    let mut outputs = Batch::zeros(inputs.rows(), inputs.columns());
    for row in 0..inputs.rows() {
        let (mut current, mut node) = (0.0_f32, 0.0_f32);
        for sample in 0..inputs.columns() {
            let drive = inputs.row(row)[sample];
            for _ in 0..config.substeps {
                current = (current + h / l * (drive - node)) / (1.0 + h / l * r);
                let x = (own * node + offset) / scale;
                let junction = current_scale * (x + x.powi(3) / 6.0 + x.powi(5) / 120.0);
                let slope = current_scale * own / scale * (1.0 + x.powi(2) / 2.0 + x.powi(4) / 24.0);
                node += h / c * (current - node / load - junction) / (1.0 + h / c * (slope + 1.0 / load));
            }
            outputs.values_mut()[row * inputs.columns() + sample] = node;
        }
    }
    outputs
}

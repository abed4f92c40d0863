//! The nonlinear transmission line in finite volumes, as a residual that networks are trained by: the equations of
//! `hil/rigs/systems/line-volumes.toml`, with their derivatives.
//!
//! ```text
//! dv/dt = (h/(Z₀·C₀))·√d·(Jₖ − Jₖ₊₁ − Z₀·G·vₖ)          d = max(1 + (θₖ + vₖ)/Vⱼ, 0.2)
//! dj/dt = (h·Z₀/L)·(Vₖ − Vₖ₊₁ − R/Z₀·jₖ)                  j = Z₀·i,  Z₀ = √(L/C₀)
//! Vₖ = ½(vₖ₋₁ + vₖ + zₖ(jₖ₋₁ − jₖ))      Jₖ = ½(jₖ₋₁ + jₖ + (vₖ₋₁ − vₖ)/zₖ)       upwind fluxes, z the impedance at rest over Z₀
//! source: J₀ = (drive − v₀ + z₀j₀)/(Rs/Z₀ + z₀), V₀ = drive − Rs/Z₀·J₀      load: Jₙ = (v + z·j)/(Rl/Z₀ + z), Vₙ = Rl/Z₀·Jₙ
//! ```
//!
//! v in V, j in V, the bias θ in V, time in samples of h seconds. Shapes: v, j and θ `[sections]`.

use crate::Equations;

/// What a varactor's depletion is not followed below, as in the file.
const LEAST: f64 = 0.2;

/// The line.
#[derive(Debug, Clone, PartialEq)]
pub struct LineVolumes {
    sections: usize,
    /// h/(Z₀·C₀) and h·Z₀/L.
    rates: [f64; 2],
    /// The built-in voltage, in V.
    junction: f64,
    /// R, Rs, Rl over Z₀, and G·Z₀.
    resistances: [f64; 4],
}

/// v and j, or rates of them, or gradients for them.
pub type LineState = [Vec<f64>; 2];

/// Fluxes at the borders of the volumes, `[sections + 1]`: voltages and currents times Z₀.
type Fluxes = [Vec<f64>; 2];

impl LineVolumes {
    /// The line that a file of equations with the coefficients of `line-volumes.toml` describes, at their nominal values; `None` where one of
    /// them is missing.
    pub fn of(system: &Equations) -> Option<Self> {
        let number = |name: &str| system.coefficient(name);
        let (l, c, h) = (number("L")?, number("C0")?, system.sample_seconds()?);
        let z = (l / c).sqrt();
        Some(Self {
            sections: system.samples()?,
            rates: [h / (z * c), h * z / l],
            junction: number("Vj")?,
            resistances: [number("R")? / z, number("Rs")? / z, number("Rl")? / z, number("G")? * z],
        })
    }

    /// How many sections there are, as many as a shot has samples.
    pub fn sections(&self) -> usize {
        self.sections
    }

    /// The impedance at rest, over Z₀.
    fn impedances(&self, bias: &[f64]) -> Vec<f64> {
        bias.iter().map(|bias| (1.0 + bias / self.junction).sqrt().sqrt()).collect()
    }

    fn fluxes(&self, drive: f64, z: &[f64], [v, j]: &LineState) -> Fluxes {
        let (n, [_, source, load, _]) = (self.sections, self.resistances);
        let (mut volts, mut currents) = (vec![0.0; n + 1], vec![0.0; n + 1]);
        currents[0] = (drive - v[0] + z[0] * j[0]) / (source + z[0]);
        volts[0] = drive - source * currents[0];
        for k in 1..n {
            volts[k] = 0.5 * (v[k - 1] + v[k] + z[k] * (j[k - 1] - j[k]));
            currents[k] = 0.5 * (j[k - 1] + j[k] + (v[k - 1] - v[k]) / z[k]);
        }
        currents[n] = (v[n - 1] + z[n - 1] * j[n - 1]) / (load + z[n - 1]);
        volts[n] = load * currents[n];
        [volts, currents]
    }

    /// dv/dt and dj/dt.
    pub fn flow(&self, drive: f64, bias: &[f64], state: &LineState) -> LineState {
        let [volts, currents] = self.fluxes(drive, &self.impedances(bias), state);
        let ([v, j], [loss, _, _, leak]) = (state, self.resistances);
        let root = |k: usize| (1.0 + (bias[k] + v[k]) / self.junction).max(LEAST).sqrt();
        let of_v = |k: usize| self.rates[0] * root(k) * (currents[k] - currents[k + 1] - leak * v[k]);
        let of_j = |k: usize| self.rates[1] * (volts[k] - volts[k + 1] - loss * j[k]);
        [(0..self.sections).map(of_v).collect(), (0..self.sections).map(of_j).collect()]
    }

    /// Σ (rates − flow)², its gradient for v and j, and that for their rates.
    pub fn residual(
        &self,
        drive: f64,
        bias: &[f64],
        state: &LineState,
        rates: &LineState,
    ) -> (f64, LineState, LineState) {
        let (n, z) = (self.sections, self.impedances(bias));
        let [_, currents] = self.fluxes(drive, &z, state);
        let flow = self.flow(drive, bias, state);
        let ([v, _], [loss, source, load, leak]) = (state, self.resistances);
        let mut total = 0.0;
        let [mut of_v, mut of_j] = [vec![0.0; n], vec![0.0; n]];
        let [mut of_v_rates, mut of_j_rates] = [vec![0.0; n], vec![0.0; n]];
        let [mut of_volts, mut of_currents] = [vec![0.0; n + 1], vec![0.0; n + 1]];
        for k in 0..n {
            let missed = [rates[0][k] - flow[0][k], rates[1][k] - flow[1][k]];
            total += missed[0] * missed[0] + missed[1] * missed[1];
            (of_v_rates[k], of_j_rates[k]) = (2.0 * missed[0], 2.0 * missed[1]);
            let depletion = 1.0 + (bias[k] + v[k]) / self.junction;
            let root = depletion.max(LEAST).sqrt();
            let wanted = -2.0 * missed[0] * self.rates[0];
            if LEAST < depletion {
                let inflow = currents[k] - currents[k + 1] - leak * v[k];
                of_v[k] += wanted * inflow * 0.5 / (root * self.junction);
            }
            of_v[k] -= wanted * root * leak;
            of_currents[k] += wanted * root;
            of_currents[k + 1] -= wanted * root;
            let wanted = -2.0 * missed[1] * self.rates[1];
            of_volts[k] += wanted;
            of_volts[k + 1] -= wanted;
            of_j[k] -= wanted * loss;
        }
        let last = z[n - 1];
        let at_load = (of_currents[n] + load * of_volts[n]) / (load + last);
        of_v[n - 1] += at_load;
        of_j[n - 1] += at_load * last;
        let at_source = (of_currents[0] - source * of_volts[0]) / (source + z[0]);
        of_v[0] -= at_source;
        of_j[0] += at_source * z[0];
        for k in 1..n {
            let (volts, current) = (0.5 * of_volts[k], 0.5 * of_currents[k]);
            of_v[k - 1] += volts + current / z[k];
            of_v[k] += volts - current / z[k];
            of_j[k - 1] += volts * z[k] + current;
            of_j[k] += current - volts * z[k];
        }
        (total, [of_v, of_j], [of_v_rates, of_j_rates])
    }
}

#[cfg(test)]
mod tests {
    use drivers::Batch;

    use super::*;
    use crate::gradient_check::error_along;
    use crate::{Key, Stream};

    const TEXT: &str = include_str!("../../hil/rigs/systems/line-volumes.toml");

    fn draw(count: usize, size: f64, stream: &mut Stream) -> Vec<f64> {
        (0..count).map(|_| size * f64::from(stream.normal())).collect()
    }

    #[test]
    fn its_flow_is_that_of_the_file() {
        let system = Equations::from_text("line-volumes.toml", TEXT);
        let (line, twin) = (LineVolumes::of(&system).unwrap(), system.build().unwrap().twin);
        let n = line.sections();
        let mut stream = Key::new(3).stream();
        let bias: Vec<f64> = (0..n).map(|_| 0.6 + f64::from(stream.uniform())).collect();
        let drive: Vec<f64> = (0..n).map(|_| 1.6 * f64::from(stream.uniform()) - 0.8).collect();
        // The classical method of order 4, a step a sample, as in the file.
        let mut state = [vec![0.0; n], vec![0.0; n]];
        let moved = |state: &LineState, flow: &LineState, by: f64| -> LineState {
            [0, 1].map(|part| state[part].iter().zip(&flow[part]).map(|(x, f)| x + by * f).collect())
        };
        for drive in &drive {
            let first = line.flow(*drive, &bias, &state);
            let second = line.flow(*drive, &bias, &moved(&state, &first, 0.5));
            let third = line.flow(*drive, &bias, &moved(&state, &second, 0.5));
            let fourth = line.flow(*drive, &bias, &moved(&state, &third, 1.0));
            for (flow, share) in [(first, 1.0), (second, 2.0), (third, 2.0), (fourth, 1.0)] {
                state = moved(&state, &flow, share / 6.0);
            }
        }
        let controls: Vec<f32> = bias.iter().map(|bias| *bias as f32).collect();
        let predicted = twin.predict(&Batch::from_fn(1, n, |_, sample| drive[sample] as f32), &controls);
        for (v, predicted) in state[0].iter().zip(predicted.row(0)) {
            assert!((v - f64::from(*predicted)).abs() < 1e-5, "{v} {predicted}");
        }
    }

    #[test]
    fn gradients_of_the_residual_are_its_slopes() {
        let line = LineVolumes::of(&Equations::from_text("line-volumes.toml", TEXT)).unwrap();
        let n = line.sections();
        let mut stream = Key::new(4).stream();
        let bias: Vec<f64> = (0..n).map(|_| 0.6 + f64::from(stream.uniform())).collect();
        let point: Vec<f64> = draw(4 * n, 0.3, &mut stream);
        let of = |point: &[f64]| {
            let part = |index: usize| point[index * n..(index + 1) * n].to_vec();
            line.residual(0.4, &bias, &[part(0), part(1)], &[part(2), part(3)])
        };
        let (_, [of_v, of_j], [of_v_rates, of_j_rates]) = of(&point);
        let gradient = [of_v, of_j, of_v_rates, of_j_rates].concat();
        let error = error_along(|point| of(point).0, &point, &draw(4 * n, 0.1, &mut stream), &gradient);
        assert!(error < 1e-6, "{error:e}");
        // What follows the flow has no residual.
        let state = [point[..n].to_vec(), point[n..2 * n].to_vec()];
        let flow = line.flow(0.4, &bias, &state);
        assert_eq!(line.residual(0.4, &bias, &state, &flow).0, 0.0);
    }
}

//! Two fluids in a porous medium, of which one displaces the other: a conservation law whose solution is a rarefaction behind a shock.
//!
//! ```text
//! ∂u/∂t + ∂f(u)/∂x = 0      f(u) = u²/(u² + (1 − u)²/M)      u(x, 0) = 0,  u(0, t) = 1
//! shock at u* = √(1/(1 + M)) with the speed s = f(u*)/u* = f'(u*)      behind it f'(u) = x/t, ahead of it u = 0
//! ```
//!
//! u is a saturation, M the ratio of the mobilities; x, t and all of them are of unit 1. Buckley and Leverett (Trans. AIME 146, 107, 1942); the
//! tangent that gives the shock is Welge's (Trans. AIME 195, 91, 1952), and the flux with the tangent in place of its convex part is the hull
//! whose smooth solutions are the entropy solution (Oleinik 1957).

/// The law for one ratio of mobilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BuckleyLeverett {
    mobility: f64,
}

impl BuckleyLeverett {
    /// Of the ratio `mobility`, which is above 0.
    pub fn new(mobility: f64) -> Self {
        Self { mobility }
    }

    /// f(u).
    pub fn flux(&self, u: f64) -> f64 {
        let squares = [u * u, (1.0 - u).powi(2) / self.mobility];
        squares[0] / (squares[0] + squares[1])
    }

    /// f'(u).
    pub fn speed(&self, u: f64) -> f64 {
        let v = 1.0 - u;
        let below = u * u + v * v / self.mobility;
        2.0 * u * v / (self.mobility * below * below)
    }

    /// f''(u).
    pub fn bend(&self, u: f64) -> f64 {
        let (v, m) = (1.0 - u, self.mobility);
        let below = u * u + v * v / m;
        let slope = 2.0 * u - 2.0 * v / m;
        2.0 / m * ((1.0 - 2.0 * u) / (below * below) - 2.0 * u * v * slope / (below * below * below))
    }

    /// u* of the shock.
    pub fn shock(&self) -> f64 {
        (1.0 / (1.0 + self.mobility)).sqrt()
    }

    /// s, the shock's speed.
    pub fn shock_speed(&self) -> f64 {
        self.flux(self.shock()) / self.shock()
    }

    /// The slope of the flux's concave hull: that of the tangent up to u*, that of the flux beyond.
    pub fn hull_speed(&self, u: f64) -> f64 {
        if u < self.shock() { self.shock_speed() } else { self.speed(u.min(1.0)) }
    }

    /// The derivative of [`Self::hull_speed`].
    pub fn hull_bend(&self, u: f64) -> f64 {
        if u < self.shock() || 1.0 < u { 0.0 } else { self.bend(u) }
    }

    /// The entropy solution at `x` and `t`, exact but for 60 halvings.
    pub fn exact(&self, x: f64, t: f64) -> f64 {
        if x <= 0.0 {
            return 1.0;
        }
        if self.shock_speed() * t <= x {
            return 0.0;
        }
        let (mut below, mut above) = (self.shock(), 1.0);
        for _ in 0..60 {
            let middle = 0.5 * (below + above);
            // The speed falls from u* to 1.
            if x / t < self.speed(middle) {
                below = middle;
            } else {
                above = middle;
            }
        }
        0.5 * (below + above)
    }

    /// Explicit upwind finite volumes (Godunov's scheme, since waves go one way): u at the end of each of `cells` cells from 0 to 1, at
    /// each of `times`, which ascend. Steps are 0.9 of what stability allows.
    pub fn finite_volumes(&self, cells: usize, times: &[f64]) -> Vec<Vec<f64>> {
        let width = 1.0 / cells.max(1) as f64;
        let fastest = (0..=1000).map(|part| self.speed(f64::from(part) / 1000.0)).fold(f64::MIN_POSITIVE, f64::max);
        let (mut u, mut now, mut found) = (vec![0.0; cells], 0.0, Vec::with_capacity(times.len()));
        let mut flux = vec![0.0; cells];
        for time in times {
            let steps = ((time - now) * fastest / (0.9 * width)).ceil().max(0.0);
            let step = (time - now) / steps.max(1.0);
            for _ in 0..steps as usize {
                flux.iter_mut().zip(&u).for_each(|(flux, u)| *flux = self.flux(*u));
                let mut before = self.flux(1.0);
                for (u, flux) in u.iter_mut().zip(&flux) {
                    *u -= step / width * (flux - before);
                    before = *flux;
                }
            }
            now = *time;
            found.push(u.clone());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shock_obeys_rankine_and_hugoniot_and_is_tangent() {
        for (mobility, shock, speed) in
            [(2.0, 0.577_350_269_190, 1.366_025_403_784), (30.0, 0.179_605_302_027, 3.283_882_181_415)]
        {
            let law = BuckleyLeverett::new(mobility);
            assert!((law.shock() - shock).abs() < 1e-12 && (law.shock_speed() - speed).abs() < 1e-11);
            assert!((law.speed(law.shock()) - law.shock_speed()).abs() < 1e-12);
        }
    }

    #[test]
    fn slopes_are_those_of_the_flux() {
        let law = BuckleyLeverett::new(5.0);
        for u in [0.1, 0.35, 0.6, 0.95] {
            let differences = |of: &dyn Fn(f64) -> f64| (of(u + 1e-5) - of(u - 1e-5)) / 2e-5;
            assert!((differences(&|u| law.flux(u)) - law.speed(u)).abs() < 1e-8);
            assert!((differences(&|u| law.speed(u)) - law.bend(u)).abs() < 1e-6);
            assert!((differences(&|u| law.hull_speed(u)) - law.hull_bend(u)).abs() < 1e-6);
        }
    }

    #[test]
    fn finite_volumes_approach_the_exact_solution_and_lose_nothing() {
        let law = BuckleyLeverett::new(2.0);
        let error = |cells: usize| {
            let u = law.finite_volumes(cells, &[0.2, 0.4]).remove(1);
            // What flowed in is there: ∫ u dx = f(1)·t as long as nothing has left.
            let content = u.iter().sum::<f64>() / cells as f64;
            assert!((content - 0.4).abs() < 1e-9, "{content}");
            let places = u.iter().enumerate().map(|(cell, u)| u - law.exact((cell as f64 + 0.5) / cells as f64, 0.4));
            places.map(f64::abs).sum::<f64>() / cells as f64
        };
        let [coarse, fine] = [50, 200].map(error);
        assert!(fine < 0.5 * coarse && fine < 0.02, "{coarse} {fine}");
    }
}

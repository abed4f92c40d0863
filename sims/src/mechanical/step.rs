//! The parts of one step of the plate, each followed by its adjoint: speaker, soft clipping, modes, couplings.
//!
//! The equations stand in `kernel.rs`, in the same letters. An adjoint takes the cotangents of what its part gives and
//! returns, or adds to the state's, those of what its part takes; all for one block of shots, lane by lane.

#![allow(clippy::inline_always)] // Each function must become part of the vectorized caller.

use super::discrete::{Coupling, Discrete};
use crate::{LANES, Lanes, Real};

/// One step of the speaker: the coil current follows the drive, and its slow part is blocked.
#[inline(always)]
pub(super) fn band_pass<S: Real>(
    plate: &Discrete<S>,
    drive: &Lanes<S>,
    [current, slow]: &mut [Lanes<S>; 2],
) -> Lanes<S> {
    let mut band = [S::of(0.0); LANES];
    for lane in 0..LANES {
        current[lane] = plate.follow.mul_add(drive[lane] - current[lane], current[lane]);
        band[lane] = current[lane] - slow[lane];
        slow[lane] = plate.block.mul_add(band[lane], slow[lane]);
    }
    band
}

/// The adjoint of [`band_pass`].
#[inline(always)]
pub(super) fn band_pass_back<S: Real>(
    plate: &Discrete<S>,
    band: &Lanes<S>,
    [current, slow]: &mut [Lanes<S>; 2],
) -> Lanes<S> {
    let mut drive = [S::of(0.0); LANES];
    for lane in 0..LANES {
        let band = plate.block.mul_add(slow[lane], band[lane]);
        slow[lane] -= band;
        let total = current[lane] + band;
        drive[lane] = plate.follow * total;
        current[lane] = total - drive[lane];
    }
    drive
}

/// The force that the coil gives for a band-passed voltage, in nominal volts.
#[inline(always)]
pub(super) fn soft_clip<S: Real>(clipping: S, gain: &Lanes<S>, band: &Lanes<S>) -> Lanes<S> {
    let mut force = [S::of(0.0); LANES];
    for lane in 0..LANES {
        let square = clipping * band[lane];
        force[lane] = gain[lane] * band[lane] / square.mul_add(band[lane], S::of(1.0)).sqrt();
    }
    force
}

/// The adjoint of [`soft_clip`] at gain 1.
#[inline(always)]
pub(super) fn soft_clip_back<S: Real>(clipping: S, band: &Lanes<S>, force: &Lanes<S>) -> Lanes<S> {
    let mut result = [S::of(0.0); LANES];
    for lane in 0..LANES {
        let square = (clipping * band[lane]).mul_add(band[lane], S::of(1.0));
        result[lane] = force[lane] / (square * square.sqrt());
    }
    result
}

/// Kicks every mode, reads the microphone, and lets the modes ring for one sample. `heard` is what the microphone hears of kicks that
/// the state has got already.
#[inline(always)]
pub(super) fn ring<S: Real, const LINEAR: bool>(
    plate: &Discrete<S>,
    detuning: &Lanes<S>,
    [force, heard]: [&Lanes<S>; 2],
    state: &mut [[Lanes<S>; 2]],
) -> Lanes<S> {
    let detuning = *detuning;
    // Two sums, so that neither waits for the other's additions.
    let [mut from_x, mut from_y] = [[S::of(0.0); LANES], *heard];
    for (&mode, [x, y]) in plate.modes.iter().zip(state) {
        // Copies, which nothing else can point at: the loop becomes vector instructions without a question.
        let [mut next_x, mut next_y] = [*x, *y];
        for lane in 0..LANES {
            let here = next_x[lane];
            let mut kick = mode.push * force[lane];
            if !LINEAR {
                let clamped = here.max(-plate.limit).min(plate.limit);
                kick = (mode.cubic * (clamped * clamped)).mul_add(clamped, kick);
                kick = (mode.detune * detuning[lane]).mul_add(here, kick);
            }
            let kicked = next_y[lane] + kick;
            from_x[lane] = mode.from_x.mul_add(here, from_x[lane]);
            from_y[lane] = mode.from_y.mul_add(kicked, mode.from_kick.mul_add(kick, from_y[lane]));
            next_x[lane] = mode.xx.mul_add(here, mode.xy * kicked);
            next_y[lane] = mode.yx.mul_add(here, mode.yy * kicked);
        }
        [*x, *y] = [next_x, next_y];
    }
    for lane in 0..LANES {
        from_x[lane] += from_y[lane];
    }
    from_x
}

/// The adjoint of [`ring`] but for the couplings, at no detuning: returns the force's cotangent.
///
/// Afterwards the second part of the state holds the cotangents of the velocities. Those of the kicks are larger by what the microphone
/// hears of them directly.
#[inline(always)]
pub(super) fn ring_back<S: Real, const LINEAR: bool>(
    plate: &Discrete<S>,
    deflections: &[Lanes<S>],
    cotangent: &Lanes<S>,
    state: &mut [[Lanes<S>; 2]],
) -> Lanes<S> {
    let mut force = [S::of(0.0); LANES];
    let cotangent = *cotangent;
    for (index, (&mode, [x, y])) in plate.modes.iter().zip(state).enumerate() {
        let [mut next_x, mut next_y] = [*x, *y];
        let deflection = if LINEAR { [S::of(0.0); LANES] } else { deflections[index] };
        for lane in 0..LANES {
            let (after_x, after_y) = (next_x[lane], next_y[lane]);
            let kicked = mode.xy.mul_add(after_x, mode.yy.mul_add(after_y, mode.from_y * cotangent[lane]));
            let kick = mode.from_kick.mul_add(cotangent[lane], kicked);
            let mut flow = mode.xx.mul_add(after_x, mode.yx.mul_add(after_y, mode.from_x * cotangent[lane]));
            if !LINEAR {
                let here = deflection[lane];
                let slope = if here.abs() < plate.limit { S::of(3.0) * mode.cubic } else { S::of(0.0) };
                flow = (slope * (here * here)).mul_add(kick, flow);
            }
            force[lane] = mode.push.mul_add(kick, force[lane]);
            next_x[lane] = flow;
            next_y[lane] = kicked;
        }
        [*x, *y] = [next_x, next_y];
    }
    force
}

/// Adds the kicks of the couplings: what the microphone hears of them directly.
#[inline(always)]
pub(super) fn couple<S: Real>(plate: &Discrete<S>, state: &mut [[Lanes<S>; 2]]) -> Lanes<S> {
    let mut heard = [S::of(0.0); LANES];
    for &Coupling { modes: [a, b, c, d], kicks } in &plate.couplings {
        let [xa, xb, xc, xd] = [state[a][0], state[b][0], state[c][0], state[d][0]];
        let mut pushed = [[S::of(0.0); LANES]; 4];
        for lane in 0..LANES {
            let clamp = |x: &Lanes<S>| x[lane].max(-plate.limit).min(plate.limit);
            let (xa, xb, xc, xd) = (clamp(&xa), clamp(&xb), clamp(&xc), clamp(&xd));
            let (ab, cd) = (xa * xb, xc * xd);
            pushed[0][lane] = kicks[0] * xb * cd;
            pushed[1][lane] = kicks[1] * xa * cd;
            pushed[2][lane] = kicks[2] * xd * ab;
            pushed[3][lane] = kicks[3] * xc * ab;
        }
        // One after the other: an index may repeat.
        for (mode, pushed) in [a, b, c, d].into_iter().zip(&pushed) {
            add(&mut state[mode][1], pushed);
            let from_kick = plate.modes[mode].from_kick;
            for lane in 0..LANES {
                heard[lane] = from_kick.mul_add(pushed[lane], heard[lane]);
            }
        }
    }
    heard
}

/// The adjoint of [`couple`]: adds to the cotangents of the deflections what comes from those of the kicks.
#[inline(always)]
pub(super) fn couple_back<S: Real>(
    plate: &Discrete<S>,
    deflections: &[Lanes<S>],
    cotangent: &Lanes<S>,
    state: &mut [[Lanes<S>; 2]],
) {
    // The cotangents of a mode's kicks.
    let kicks_of = |mode: usize, of_velocity: &Lanes<S>| {
        let from_kick = plate.modes[mode].from_kick;
        let mut kicks = *of_velocity;
        for lane in 0..LANES {
            kicks[lane] = from_kick.mul_add(cotangent[lane], kicks[lane]);
        }
        kicks
    };
    for &Coupling { modes: [a, b, c, d], kicks } in &plate.couplings {
        let [xa, xb, xc, xd] = [deflections[a], deflections[b], deflections[c], deflections[d]];
        let [ya, yb, yc, yd] = [a, b, c, d].map(|mode| kicks_of(mode, &state[mode][1]));
        let mut pulled = [[S::of(0.0); LANES]; 4];
        for lane in 0..LANES {
            let clamp = |x: &Lanes<S>| x[lane].max(-plate.limit).min(plate.limit);
            let inside = |x: &Lanes<S>| if x[lane].abs() < plate.limit { S::of(1.0) } else { S::of(0.0) };
            let (a, b, c, d) = (clamp(&xa), clamp(&xb), clamp(&xc), clamp(&xd));
            let (da, db) = (kicks[0] * ya[lane], kicks[1] * yb[lane]);
            let (dc, dd) = (kicks[2] * yc[lane], kicks[3] * yd[lane]);
            let (ab, cd) = (a * b, c * d);
            let (ab_change, cd_change) = (a.mul_add(db, da * b), c.mul_add(dd, dc * d));
            // The Hessian of a·b·c·d applied to the changes.
            pulled[0][lane] = inside(&xa) * b.mul_add(cd_change, db * cd);
            pulled[1][lane] = inside(&xb) * a.mul_add(cd_change, da * cd);
            pulled[2][lane] = inside(&xc) * d.mul_add(ab_change, dd * ab);
            pulled[3][lane] = inside(&xd) * c.mul_add(ab_change, dc * ab);
        }
        add(&mut state[a][0], &pulled[0]);
        add(&mut state[b][0], &pulled[1]);
        add(&mut state[c][0], &pulled[2]);
        add(&mut state[d][0], &pulled[3]);
    }
}

/// Adds lane by lane.
#[inline(always)]
fn add<S: Real>(total: &mut Lanes<S>, part: &Lanes<S>) {
    for lane in 0..LANES {
        total[lane] += part[lane];
    }
}

//! How fast the mesh's twin is, in the size of `benches/mesh.py`, which measures a straightforward mesh of `PyTorch`.

use super::super::program::{Asked, Measured};
use crate::Error;
use crate::training::methods::speed::{SIZE, mesh};

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    tell!("methods: speed");
    let [modes, batch] = SIZE;
    for (what, rate) in ["forward", "forward and backward"].into_iter().zip(mesh(if asked.quick { 5 } else { 30 })?) {
        measured.add(format!("speed: mesh of {modes} modes, batches of {batch}: {what}"), rate, "shots/s", 1);
    }
    Ok(())
}

//! How near the gradient of each estimator is to the true one for the passes that it spends.

use super::super::program::Measured;
use crate::Error;
use crate::training::methods::estimates::estimates;

pub(super) fn run(measured: &mut Measured) -> Result<(), Error> {
    tell!("methods: gradients");
    for found in estimates()? {
        let name = format!("gradients: {}, {} passes: cosine with the true one", found.name, found.passes);
        measured.add(name, found.cosine, "1", 1);
    }
    Ok(())
}

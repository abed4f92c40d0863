//! The oscillators written as a file of equations are the same system.

use super::Oscillators;
use super::tests::{predict, pull_back};
use crate::equations::tests::{Written, apart, draw};

#[test]
fn the_lattice_as_text_agrees_to_rounding_in_value_and_gradients() {
    // One small enough for terms of their own, one that runs in loops.
    for count in [8, 70] {
        let config = Oscillators { count, ..Oscillators::default() };
        let physics = config.nominal();
        let written = Written::new(&config.written());
        let inputs = draw(count, 1.0, "inputs");
        let controls = draw(count * (count + 1), 0.3, "controls");
        let cotangents = draw(count, 1.0, "cotangents");
        let error = apart(&written.predict(&inputs, &controls), &predict(&physics, &inputs, &controls));
        assert!(error < 1e-13, "{count}: {error:e}");
        let from_text = written.pull_back(&inputs, &controls, &cotangents);
        let by_hand = pull_back(&physics, &inputs, &controls, &cotangents);
        let errors = [apart(&from_text.0, &by_hand.0), apart(&from_text.1, &by_hand.1)];
        assert!(errors[0] < 1e-12 && errors[1] < 1e-12, "{count}: {errors:?}");
    }
}

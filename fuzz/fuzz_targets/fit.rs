//! Any bytes as the text of a fit, and as its numbers under a digest that is right: refused, or a twin that predicts.
#![no_main]

use calibration::{Fit, digest};
use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};

/// What a fit says about itself, but for the digest of its numbers.
const FACTS: &str = r#"format = 1
key = "k"
plant = "toy"
rig = "toys"
system = "toy"
serial = "1"
origin = "simulated"
description_sha256 = "d"
procedure = "residual"
options = {}
seed = 1
code_version = "0"
trace_sha256 = "t"
shots = 10
made_unix_seconds = 1.5
validity = []
"#;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Fit::from_files(&String::from_utf8_lossy(bytes), bytes);
    let text = format!("{FACTS}tensors_sha256 = \"{}\"\n", digest(bytes));
    let Ok(fit) = Fit::from_files(&text, bytes) else { return };
    let bank = |count| vec![Bank::new("x", count, "V", Range::new(-1.0, 1.0))];
    let card = Card {
        identity: Identity { system: "toy".into(), serial: "1".into(), origin: Origin::Simulated },
        ports: Ports { inputs: bank(2), controls: bank(1), outputs: bank(2) },
        timing: Timing::default(),
    };
    if let Ok(twin) = fit.twin(&card, None) {
        let inputs = Batch::zeros(3, 2);
        let _ = twin.predict(&inputs, &[0.5]);
        let _ = twin.pull_back(&inputs, &[0.5], &Batch::zeros(3, 2));
    }
});

//! Any bytes as a trace, as a training's recorded shots, as a numpy archive and as one array: refused, or whole.
#![no_main]

use calibration::{Trace, read_npy};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.first().map_or(0, |first| usize::from(*first).min(bytes.len()));
    let traces = [
        Trace::from_arrow(bytes),
        Trace::from_shots(bytes, None),
        Trace::from_shots(&bytes[cut..], Some(&bytes[..cut])),
        Trace::from_npz(&[bytes], None),
        Trace::from_npz(&[bytes, bytes], Some(("x", "y"))),
    ];
    if let Ok(rows) = read_npy("x", bytes) {
        assert_eq!(rows.values().len(), rows.rows() * rows.columns());
    }
    for trace in traces.into_iter().flatten() {
        assert_eq!(trace.inputs.rows(), trace.outputs.rows());
        assert!(trace.card.complaint().is_none() || trace.card.identity.system == "recorded");
        for shot in 0..trace.shots().min(100) {
            let _ = trace.controls(shot);
        }
        let _ = trace.thinned(10).averaged();
    }
});

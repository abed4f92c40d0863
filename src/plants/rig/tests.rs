//! What a fit of a plant depends on.

use super::Rig;
use crate::document::Document;

const RIG: &str = "name = \"bench\"\n[plants.electrical.simulated]\nsystem = \"electrical\"\nsamples = 8\n";

/// The digest of the plant of a rig with `more` in it.
fn digest(more: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rig.toml");
    std::fs::write(&file, format!("{RIG}{more}")).unwrap();
    Rig::find(Some(&file), &Document::parse("none", "").unwrap()).unwrap().description("electrical")
}

#[test]
fn a_fit_outlives_a_change_of_what_is_watched_and_of_limits_over_time() {
    let plain = digest("");
    for more in [
        "[[plants.electrical.interlocks]]\nname = \"a\"\noutput = \"node\"\nlow = -0.9\nhigh = 0.9\n",
        "[plants.electrical.screen]\nattempts = 2\n",
        "[plants.electrical.limits]\nslew = { drive = 1.0 }\nduty = 0.5\npace = false\n",
        "[plants.electrical.limits.energy_per_minute]\ndrive = 2.0\n",
    ] {
        assert_eq!(digest(more), plain, "{more}");
    }
    for more in ["mismatch = 0.5\n", "[plants.electrical.limits.inputs]\ndrive = { low = -0.5, high = 0.5 }\n"] {
        assert_ne!(digest(more), plain, "{more}");
    }
}

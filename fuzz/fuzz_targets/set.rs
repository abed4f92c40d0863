//! Any lines as `--set` arguments on a built-in experiment: each is refused, or the experiment is checked with it.
#![no_main]

use pnnlab::Experiment;

libfuzzer_sys::fuzz_target!(|text: &str| {
    // A zero between them, because an argument may hold line feeds.
    let assignments: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let _ = Experiment::find_form("digits-electrical", false, &assignments);
});

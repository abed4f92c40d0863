# `just` lists what there is.
default:
    @just --list

# What CI runs.
ci:
    bash .ci/run

# Compares the training methods on the default experiment.
demo:
    cargo run --release

# Shots per second and the parts of a training step.
bench:
    cargo bench

# Licenses, advisories and duplicate crates (needs cargo-deny).
deny:
    cargo deny check

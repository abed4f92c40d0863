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

# Licenses, known faults, duplicates and sources of crates (needs cargo-deny and the network).
deny:
    cargo deny check

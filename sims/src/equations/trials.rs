//! What can be counted and timed of the engine without a plant, for reports and benchmarks: whether programs agree with their trees,
//! Jacobians beside differences, sparse steps beside dense ones. Nothing here has a clock: whoever asks takes the time.

mod dense;
pub(in crate::equations) mod expressions;
mod slopes;
mod stiff;

pub use expressions::{Agreement, agreement};
pub use slopes::Slopes;
pub use stiff::Stiff;

/// Three species on a square of `side` × `side` cells with reflecting edges, of which the first diffuses: the example of which the
/// paper's 157 is (Symbolics.jl, `docs/src/tutorials/auto_parallel.md`, MIT), from 0 for 10 s. Its third species has the signs of that page.
pub fn medium(side: usize) -> String {
    let last = side - 1;
    let edge = 0.8 * side as f64 - 1.0;
    format!(
        r#"
title = "Three species, one of which diffuses"
[indices]
x = {{ size = {side}, outside = 0 }}
y = {{ size = {side}, outside = 0 }}
[inputs]
source = {{ unit = "1/s", range = [0, 2], kind = "static" }}
[coefficients]
alpha = {{ unit = "1/s", value = 1 }}
beta = {{ unit = "1/s", value = 1 }}
r1 = {{ unit = "1/s", value = 1 }}
r2 = {{ unit = "1/s", value = 1 }}
D = {{ unit = "1/s", value = 100 }}
[states]
A = {{ unit = "1", shape = ["x", "y"] }}
B = {{ unit = "1", shape = ["x", "y"] }}
C = {{ unit = "1", shape = ["x", "y"] }}
[let]
"along[x,y]" = "if(x == 0, 2*A[x+1,y], if(x == {last}, 2*A[x-1,y], A[x+1,y] + A[x-1,y])) - 2*A[x,y]"
"across[x,y]" = "if(y == 0, 2*A[x,y+1], if(y == {last}, 2*A[x,y-1], A[x,y+1] + A[x,y-1])) - 2*A[x,y]"
[equations]
"der(A[x,y])" = "D*(along[x,y] + across[x,y]) + if(y >= {edge}, source, 0) - beta*A[x,y] - r1*A[x,y]*B[x,y] + r2*C[x,y]"
"der(B[x,y])" = "alpha - beta*B[x,y] - r1*A[x,y]*B[x,y] + r2*C[x,y]"
"der(C[x,y])" = "alpha - beta*C[x,y] + r1*A[x,y]*B[x,y] - r2*C[x,y]"
[outputs]
picture = {{ unit = "1", value = "A[x,y]", shape = ["x", "y"], range = [0, 100], at = "end" }}
[time]
sample_seconds = 10
substeps = 200
method = "implicit-adaptive"
tolerance = 1e-4
"#
    )
}

/// The oscillators of the prototype: eight, each with neighbors up to two away, whose Jacobian has 34 of 64 entries.
pub const NETWORK: &str = r#"
title = "Eight coupled oscillators"
[indices]
k = 8
j = 8
[inputs]
push = { unit = "1/s", range = [-1, 1] }
[controls]
K = { unit = "1/s", range = [0, 1], shape = ["k", "j"], where = "abs(k - j) <= 2" }
[coefficients]
w = { unit = "1", value = "1 + 0.1*k", shape = ["k"] }
rate = { unit = "1/s", value = 1 }
[states]
q = { unit = "rad", shape = ["k"] }
[equations]
"der(q[k])" = "-rate*w[k]^2*sin(q[k]) + sum(j, K[k,j]*(sin(q[j]) - sin(q[k]))*exp(-(q[k] - q[j])^2)) + push"
[outputs]
angle = { unit = "rad", value = "q[k]", shape = ["k"], range = [-9, 9] }
[time]
sample_seconds = 0.1
method = "implicit-adaptive"
"#;

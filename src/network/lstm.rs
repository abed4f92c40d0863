//! A long short-term memory, as a motion has it: run once for each frame, with a state that goes on from frame to frame.
//!
//! ```text
//! i, f, o, g = split([x, h] W + b)        c ← σ(f + 1) c + σ(i) tanh g        h ← σ(o) tanh c
//! before the first frame  c = σ(i) tanh g, h = σ(o) tanh c  of  split(z We + be),  z what goes into the generator
//! what the noise is told by   relu([h, c] W1 + b1) W2 + b2
//! ```
//!
//! `x` `[sequences, width before]`, `h` and `c` `[sequences, width]`, of unit 1. Hochreiter and Schmidhuber (Neural Comput. 9, 1735, 1997);
//! the first state and the guess of the noise as in Tian et al., *A Good Image Generator Is What You Need for High-Resolution Video Synthesis*
//! (arXiv 2104.15069). Initial weights are uniform in ±1/√width.

use burn::tensor::{Tensor, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, MOST_WEIGHTS, MotionEnds, Pass, Weight};
use crate::Error;

/// A long short-term memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LstmConfig {
    /// Values of its state, and as many that it gives.
    #[schemars(range(min = 1, max = 4096))]
    pub width: usize,
}

impl LstmConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let Some(ends) = chain.motion else {
            let message = "is of layers that are run frame after frame: add a table [motion], or take a layer `linear`";
            return Err(chain.refuse("kind", message.to_owned()));
        };
        if self.width == 0 {
            return Err(chain.refuse("width", "is 0: give at least one value".into()));
        }
        let weights = 4 * self.width * (chain.width() + self.width + ends.start);
        if MOST_WEIGHTS < weights {
            let message = format!("makes {weights} weights: at most {MOST_WEIGHTS} can be trained");
            return Err(chain.refuse("width", message));
        }
        Ok(Box::new(Lstm { before: chain.width(), width: self.width, ends }))
    }
}

struct Lstm {
    before: usize,
    width: usize,
    ends: MotionEnds,
}

impl Lstm {
    /// State and output of gates `[sequences, 4 width]`, from the state before, if there is one.
    fn gated(&self, gates: &Tensor<2>, before: Option<Tensor<2>>) -> [Tensor<2>; 2] {
        let part = |place: usize| gates.clone().narrow(1, place * self.width, self.width);
        let new = activation::sigmoid(part(0)) * activation::tanh(part(3));
        let state = match before {
            Some(before) => before * activation::sigmoid(part(1).add_scalar(1.0)) + new,
            None => new,
        };
        [activation::sigmoid(part(2)) * activation::tanh(state.clone()), state]
    }
}

impl Layer for Lstm {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, key: Key) -> Vec<Weight> {
        let bound = 1.0 / (self.width as f32).sqrt();
        let mut stream = key.stream();
        let mut draw = |name: &'static str, shape: [usize; 2]| Weight {
            name,
            shape,
            values: (0..shape[0] * shape[1]).map(|_| bound * (2.0 * stream.uniform() - 1.0)).collect(),
        };
        let (width, MotionEnds { start, noise, told }) = (self.width, self.ends);
        let mut weights = vec![
            draw("start", [start, 4 * width]),
            draw("start-offset", [1, 4 * width]),
            draw("matrix", [self.before + width, 4 * width]),
            draw("offset", [1, 4 * width]),
        ];
        if told {
            weights.extend([
                draw("tell", [2 * width, width]),
                draw("tell-offset", [1, width]),
                draw("noise", [width, noise]),
                draw("noise-offset", [1, noise]),
            ]);
        }
        weights
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let known = pass.sequence.states.remove(&pass.layer);
        let known = match (known, &pass.sequence.start) {
            (Some(known), _) => Some(known),
            (None, Some(start)) => {
                Some(self.gated(&(start.clone().matmul(weights[0].clone()) + weights[1].clone()), None))
            }
            (None, None) => None,
        };
        let Some([before, state]) = known else {
            let message = "a layer `lstm` was run outside of a sequence: its network has no table [motion]";
            return Err(Error::Usage(message.to_owned()));
        };
        let gates = Tensor::cat(vec![values, before], 1).matmul(weights[2].clone()) + weights[3].clone();
        let [output, state] = self.gated(&gates, Some(state));
        if let [_, _, _, _, tell, tell_offset, noise, noise_offset] = weights {
            let both = Tensor::cat(vec![output.clone(), state.clone()], 1);
            let hidden = activation::relu(both.matmul(tell.clone()) + tell_offset.clone());
            pass.sequence.told.push(hidden.matmul(noise.clone()) + noise_offset.clone());
        }
        pass.sequence.states.insert(pass.layer, [output.clone(), state]);
        Ok(output)
    }
}

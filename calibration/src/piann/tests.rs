//! Rates against differences in time, and gradients of losses that hold rates against differences in the weights, in double precision.

use nalgebra::DMatrix;
use sims::{BuckleyLeverett, Key, Stream};

use super::field::{Points, Times};
use super::twins::Learns;
use super::{Asked, Attentive, FieldTwin, Piann, Plain, PlainParametric, PointPinn, Sizes, Training, interpolated};

fn draw(rows: usize, columns: usize, stream: &mut Stream) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| f64::from(stream.normal()))
}

fn asked(sizes: Sizes, batch: usize, stream: &mut Stream) -> Asked<f64> {
    Asked {
        batch,
        context: draw(sizes.context, 2 * batch, stream),
        read: (0..4).map(|_| draw(sizes.encoder, 2 * batch, stream)).collect(),
        nodes: (0..3).map(|_| draw(sizes.decoder, 2 * batch, stream)).collect(),
    }
}

/// The largest difference of a gradient from differences of `loss`, relative to the largest slope.
fn error(slopes: &[f64], mut loss: impl FnMut(usize, f64) -> f64) -> f64 {
    let largest = slopes.iter().fold(1e-3_f64, |largest, slope| largest.max(slope.abs()));
    let places = slopes.iter().enumerate().map(|(place, slope)| {
        let difference = (loss(place, 1e-5) - loss(place, -1e-5)) / 2e-5;
        (difference - slope).abs() / largest
    });
    places.fold(0.0, f64::max)
}

fn sizes(bounded: bool) -> Sizes {
    Sizes { context: 2, encoder: 2, decoder: 3, hidden: 4, outputs: 2, bounded }
}

#[test]
fn rates_are_derivatives_along_what_is_asked() {
    let mut stream = Key::new(1).stream();
    for bounded in [false, true] {
        let network = Attentive::<f64>::new(sizes(bounded), Key::new(2));
        let asked = asked(sizes(bounded), 2, &mut stream);
        let moved = |by: f64| {
            let shift = |wave: &DMatrix<f64>| {
                let mut wave = wave.clone();
                let rates = wave.columns(2, 2).into_owned();
                let mut values = wave.columns_mut(0, 2);
                values += rates * by;
                wave
            };
            let list = |waves: &[DMatrix<f64>]| waves.iter().map(shift).collect();
            let asked =
                Asked { batch: 2, context: shift(&asked.context), read: list(&asked.read), nodes: list(&asked.nodes) };
            network.forward(&asked).0
        };
        let (outputs, above, below) = (network.forward(&asked).0, moved(1e-5), moved(-1e-5));
        for (output, (above, below)) in outputs.iter().zip(above.iter().zip(&below)) {
            let difference = (above.columns(0, 2) - below.columns(0, 2)) / 2e-5;
            assert!((output.columns(2, 2) - difference).amax() < 1e-8);
        }
    }
}

#[test]
fn gradients_of_losses_with_rates_are_their_slopes() {
    let mut stream = Key::new(3).stream();
    for bounded in [false, true] {
        let mut network = Attentive::<f64>::new(sizes(bounded), Key::new(4));
        for matrix in network.matrices_mut() {
            matrix.apply(|weight| *weight += 0.2 * f64::from(stream.normal()));
        }
        let asked = asked(sizes(bounded), 2, &mut stream);
        let wanted: Vec<DMatrix<f64>> = (0..3).map(|_| draw(2, 4, &mut stream)).collect();
        let loss = |network: &Attentive<f64>, asked: &Asked<f64>| {
            network.forward(asked).0.iter().zip(&wanted).map(|(output, wanted)| output.dot(wanted)).sum::<f64>()
        };
        let (_, passed) = network.forward(&asked);
        let (gradient, of_asked) = network.back(&passed, &wanted);
        for (index, slopes) in gradient.matrices().into_iter().enumerate() {
            let found = error(slopes.as_slice(), |place, by| {
                let mut moved = network.clone();
                moved.matrices_mut()[index][place] += by;
                loss(&moved, &asked)
            });
            assert!(found < 1e-6, "matrix {index}: {found:e}");
        }
        let found = error(of_asked.context.as_slice(), |place, by| {
            let mut asked = asked.clone();
            asked.context[place] += by;
            loss(&network, &asked)
        });
        assert!(found < 1e-6, "context: {found:e}");
        for place_read in 0..4 {
            let found = error(of_asked.read[place_read].as_slice(), |place, by| {
                let mut asked = asked.clone();
                asked.read[place_read][place] += by;
                loss(&network, &asked)
            });
            assert!(found < 1e-6, "read {place_read}: {found:e}");
        }
        let found = error(of_asked.nodes[1].as_slice(), |place, by| {
            let mut asked = asked.clone();
            asked.nodes[1][place] += by;
            loss(&network, &asked)
        });
        assert!(found < 1e-6, "node: {found:e}");
    }
}

#[test]
fn without_rates_values_and_gradients_are_the_same() {
    let mut stream = Key::new(10).stream();
    let network = Attentive::<f64>::new(sizes(true), Key::new(11));
    let moving = asked(sizes(true), 2, &mut stream);
    let halves = |waves: &[DMatrix<f64>]| waves.iter().map(|wave| wave.columns(0, 2).into_owned()).collect();
    let still = Asked {
        batch: 2,
        context: moving.context.columns(0, 2).into_owned(),
        read: halves(&moving.read),
        nodes: halves(&moving.nodes),
    };
    let mut wanted: Vec<DMatrix<f64>> = (0..3).map(|_| draw(2, 4, &mut stream)).collect();
    for wanted in &mut wanted {
        wanted.columns_mut(2, 2).fill(0.0);
    }
    let (with, passed) = network.forward(&moving);
    let (gradient, _) = network.back(&passed, &wanted);
    let (without, passed) = network.forward(&still);
    let wanted: Vec<DMatrix<f64>> = halves(&wanted);
    let (own, of_asked) = network.back(&passed, &wanted);
    assert!(with.iter().zip(&without).all(|(with, without)| (with.columns(0, 2) - without).amax() < 1e-15));
    assert!(gradient.matrices().iter().zip(own.matrices()).all(|(with, own)| (*with - own).amax() < 1e-14));
    assert_eq!((of_asked.context.ncols(), of_asked.read[0].ncols(), of_asked.nodes[0].ncols()), (2, 2, 2));
}

#[test]
fn residuals_have_the_slopes_that_are_followed() {
    let asked = Times { times: vec![0.0, 0.2], mobilities: vec![2.0, 5.0] };
    let network = PlainParametric::<f64>::new(&[2.0], Key::new(5));
    let (_, gradient) = network.loss(&asked);
    // The output's weights, and some of the first layer's.
    for index in [0, 8] {
        let slopes = &gradient[index].as_slice()[..20];
        let found = error(slopes, |place, by| {
            let mut moved = network.clone();
            moved.weights()[index][place] += by;
            moved.loss(&asked).0
        });
        assert!(found < 1e-6, "nodes, matrix {index}: {found:e}");
    }
    let points = Points::draw(20, 5, &mut Key::new(6).stream());
    for hull in [false, true] {
        let network = PointPinn::<f64>::new(BuckleyLeverett::new(2.0), hull, Key::new(7));
        let (_, gradient) = network.loss(&points);
        let slopes = &gradient[2].as_slice()[..20];
        let found = error(slopes, |place, by| {
            let mut moved = network.clone();
            moved.weights()[2][place] += by;
            moved.loss(&points).0
        });
        assert!(found < 1e-6, "points, hull {hull}: {found:e}");
    }
    let network = Piann::<f64>::new(&[2.0], Key::new(8));
    let (_, gradient) = network.loss(&asked);
    let slopes = &gradient[16].as_slice()[..4];
    let found = error(slopes, |place, by| {
        let mut moved = network.clone();
        moved.weights()[16][place] += by;
        moved.loss(&asked).0
    });
    assert!(found < 1e-6, "recurrent: {found:e}");
}

#[test]
fn a_network_learns_from_the_equation_alone_and_the_same_way_each_time() {
    let learned = || {
        let training = Training { updates: 30, batch: 8, rate: 5e-3, key: Key::new(9) };
        let mut network = Piann::<f32>::new(&[2.0, 8.0], training.key);
        let mut losses = vec![];
        network.train(&training, &mut |_, loss| {
            losses.push(loss);
            true
        });
        (network.field(&[0.0, 0.3, 0.9], 0.3, 2.0), losses)
    };
    let (field, losses) = learned();
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
    assert_eq!((&field, &losses), (&learned().0, &learned().1));
    assert!(field.iter().all(|u| (0.0..=1.0).contains(u)));
}

#[test]
fn values_between_nodes_lie_on_lines() {
    assert_eq!(interpolated(&[1.0, 0.0, 0.5], &[0.0, 0.25, 0.75, 1.0, 2.0]), [1.0, 0.5, 0.25, 0.5, 0.5]);
}

#[test]
fn a_plain_network_has_the_weights_that_its_widths_say() {
    assert_eq!(Plain::<f32>::new(&[3, 40, 40, 40, 40, 1], Key::new(1)).size(), 5121);
}

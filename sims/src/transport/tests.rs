//! Distances between images by the patches that they are made of, and their slopes against finite differences.

use super::*;

fn noise(size: [usize; 2], seed: u64) -> Pixels<f32> {
    let mut stream = Key::new(seed).stream();
    Pixels { size, colors: (0..size[0] * size[1] * COLORS).map(|_| stream.uniform()).collect() }
}

fn wide(pixels: &Pixels<f32>) -> Pixels<f64> {
    Pixels { size: pixels.size, colors: pixels.colors.iter().map(|color| f64::from(*color)).collect() }
}

const PATCHES: Patches = Patches { side: 3, scales: 2 };

#[test]
fn its_gradient_is_the_slope_of_the_distance() {
    let transport = SlicedTransport::new(&noise([12, 11], 1), PATCHES, 6, Key::new(2));
    let texture = wide(&noise([7, 8], 3));
    let (value, gradient) = transport.gradient(&texture, 1..5);
    assert!((value - transport.distance(&texture, 1..5)).abs() < 1e-15);
    let mut largest = 0.0_f64;
    for (place, slope) in gradient.iter().enumerate() {
        // So small a step that the order of no two patches changes.
        let moved = |by: f64| {
            let mut texture = texture.clone();
            texture.colors[place] += by;
            transport.distance(&texture, 1..5)
        };
        let difference = (moved(1e-7) - moved(-1e-7)) / 2e-7;
        assert!((difference - slope).abs() < 1e-8, "{place}: {difference}, not {slope}");
        largest = largest.max(difference.abs());
    }
    assert!(1e-4 < largest, "there is a slope to find");
}

#[test]
fn two_constant_images_are_apart_by_the_mean_square_of_the_projected_difference() {
    let flat = |color: f32| Pixels { size: [8, 8], colors: vec![color; 8 * 8 * COLORS] };
    let transport = SlicedTransport::new(&flat(0.25), Patches { side: 2, scales: 1 }, 3, Key::new(4));
    let sums: Vec<f64> = transport.scales[0]
        .iter()
        .map(|slice| slice.direction.iter().map(|weight| f64::from(*weight)).sum::<f64>())
        .collect();
    let expected = sums.iter().map(|sum| (0.5 * sum).powi(2)).sum::<f64>() / 3.0;
    assert!((transport.distance(&wide(&flat(0.75)), 0..3) - expected).abs() < 1e-6);
    assert!(transport.distance(&wide(&flat(0.25)), 0..3) < 1e-12);
}

#[test]
fn order_is_told_from_the_same_pixels_shuffled() {
    let stripes = |size: usize| {
        let colors = (0..size * size).flat_map(|cell| [((cell % size / 2) % 2) as f32; COLORS]).collect();
        Pixels { size: [size; 2], colors }
    };
    let transport = SlicedTransport::new(&stripes(64), Patches { side: 4, scales: 2 }, 32, Key::new(5));
    let mut shuffled = stripes(16);
    let mut cells: Vec<[f32; COLORS]> =
        shuffled.colors.chunks_exact(COLORS).map(|one| [one[0], one[1], one[2]]).collect();
    Key::new(6).stream().shuffle(&mut cells);
    shuffled.colors = cells.concat();
    let [own, other] = [stripes(16), shuffled].map(|texture| transport.distance(&texture, 0..32));
    assert!(own < 0.1 * other, "{own}, {other}");
    assert_eq!(Patches { side: 5, scales: 3 }.least(), 20);
}

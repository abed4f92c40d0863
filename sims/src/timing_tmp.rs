use crate::{trials::*, *};
use drivers::{Batch, Direction};
use std::time::Instant;
fn best(n: usize, mut f: impl FnMut()) -> f64 {
    (0..n)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}
#[test]
#[ignore]
fn timing_tmp() {
    let el = Electrical { imperfections: ElectricalImperfections::none(), ..Electrical::default() };
    let os = Oscillators::default();
    for (name, text, hand) in [
        ("electrical", el.written(), el.build().unwrap().twin),
        ("oscillators", os.written(), os.build().unwrap().twin),
    ] {
        let text = Equations::from_text("t", &text).build().unwrap().twin;
        let ports = &hand.card().ports;
        let mut stream = Key::new(1).branch(name).stream();
        let ranges = ports.ranges(Direction::Input);
        let shots = 512;
        let inputs = Batch::from_fn(shots, ranges.len(), |_, p| ranges[p].at(0.5 + 0.1 * (stream.uniform() - 0.5)));
        let controls: Vec<f32> =
            ports.ranges(Direction::Control).iter().map(|r| r.at(0.5 + 0.1 * (stream.uniform() - 0.5))).collect();
        let cot = Batch::from_fn(shots, ports.output_count(), |_, _| stream.normal());
        let n = 40;
        let a = best(n, || drop(text.predict(&inputs, &controls)));
        let b = best(n, || drop(hand.predict(&inputs, &controls)));
        let c = best(n, || drop(text.pull_back(&inputs, &controls, &cot)));
        let d = best(n, || drop(hand.pull_back(&inputs, &controls, &cot)));
        let (pa, pb) = (text.predict(&inputs, &controls), hand.predict(&inputs, &controls));
        let e = pa.values().iter().zip(pb.values()).fold(0.0f32, |e, (x, y)| e.max((x - y).abs()));
        let (ga, gb) = (text.pull_back(&inputs, &controls, &cot), hand.pull_back(&inputs, &controls, &cot));
        let g = ga.inputs.values().iter().zip(gb.inputs.values()).fold(0.0f32, |e, (x, y)| e.max((x - y).abs()));
        println!(
            "{name}: forward {:.3} ms hand {:.3} ratio {:.2}; back {:.3} hand {:.3} ratio {:.2}; apart {e:e} {g:e}",
            a * 1e3,
            b * 1e3,
            b / a,
            c * 1e3,
            d * 1e3,
            d / c
        );
    }
    let mut s = Slopes::new(&Equations::from_text("n", NETWORK), 8).unwrap();
    let mut stream = Key::new(1).stream();
    let pts: Vec<f64> = (0..s.points() * 8).map(|_| f64::from(stream.normal())).collect();
    s.set(|p, k| pts[p * 8 + k]);
    println!("network nonzeros {} instr {:?} err {:e}", s.nonzeros(), s.instructions(), s.error(1e-5));
    let n = 200;
    println!(
        "jac block {:.4} us, fd {:.4} us, single {:.4} us",
        best(20, || (0..n).for_each(|_| s.jacobians())) * 1e6 / (n * s.points()) as f64,
        best(20, || (0..n).for_each(|_| s.differences(1e-2))) * 1e6 / (n * s.points()) as f64,
        best(20, || (0..n).for_each(|_| s.jacobian())) * 1e6 / n as f64
    );
    let mut st = Stiff::new(&Equations::from_text("m", &medium(32))).unwrap();
    println!("medium factors {} bytes {:?}", st.factors(), st.bytes());
    let t = Instant::now();
    st.dense(0.05);
    println!("dense {:.3} s", t.elapsed().as_secs_f64());
    let a = st.states();
    st.restart();
    st.sparse(0.05);
    let e = a.iter().zip(st.states()).fold(0.0f64, |e, (x, y)| e.max((x - y).abs()));
    println!("apart {e:e}");
    println!("sparse {:.3} ms", best(10, || st.sparse(0.05)) * 1e3);
    st.restart();
    let t = Instant::now();
    let k = st.adaptive();
    println!("adaptive {k} steps {:.3} ms", t.elapsed().as_secs_f64() * 1e3);
    for side in [18, 58, 183] {
        let t = Instant::now();
        drop(Equations::from_text("m", &medium(side)).build().unwrap());
        println!("ready {} {:.3} s", 3 * side * side, t.elapsed().as_secs_f64());
    }
}

//! The equation of Buckley and Leverett: plain, hull-flux and attention-based networks, and finite volumes beside them.

use std::path::Path;
use std::time::Instant;

use calibration::piann::{FieldTwin, NODES, Piann, PlainParametric, PointPinn, Training, interpolated};
use drivers::{MEBIBYTE, read_bounded};
use sims::{BuckleyLeverett, Key};

use super::super::program::{Asked, Check, Measured};
use crate::Error;
use crate::training::batchnorm::Finding;

/// Mobilities that are learned, and those that are tested: one learned, two between, one outside.
const LEARNED: [f64; 7] = [2.0, 4.0, 6.0, 8.0, 10.0, 14.0, 20.0];
const TESTED: [f64; 4] = [2.0, 5.0, 12.0, 30.0];
/// Seeds that no setting was chosen by.
const SEEDS: [u64; 3] = [11, 12, 13];
/// Updates of networks at nodes and at points, and of the quick form.
const UPDATES: [usize; 2] = [2500, 4000];
const QUICK: [usize; 2] = [300, 700];
/// Fields of an update; the first step sizes of networks at nodes and at points.
const BATCH: usize = 16;
const RATES: [f64; 2] = [5e-3, 2e-3];
/// Cells of finite volumes; the first are as many as the networks' nodes.
const CELLS: [usize; 3] = [NODES - 1, 100, 400];
/// The most that is read of one file.
const MOST: u64 = 8 * MEBIBYTE;
/// Places of the exact solution where there are no files, and times.
const PLACES: usize = 201;
const TIMES: [f64; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];

pub(super) fn judge(of: &dyn Fn(&str) -> Option<f64>) -> Vec<Check> {
    let error = |twin: &str, mobility: u32| of(&format!("{twin}: relative L2 error at M = {mobility}"));
    let most = |name: &str, target: f64, value: Option<f64>| Check::at_most(name, target, value, "1");
    let ratio = |mobility: u32| {
        error("PIANN", mobility).zip(error("MLP of (x, t, M)", mobility)).map(|(piann, plain)| piann / plain)
    };
    vec![
        Check::at_least(
            "C1: relative L2 error of a plain PINN at M = 2 ≥ 0.35 (control)",
            0.35,
            error("plain PINN", 2),
            "1",
        ),
        most("C2: relative L2 error of the hull-flux PINN at M = 2 ≤ 0.15", 0.15, error("hull-flux PINN", 2)),
        most("C2: front error of the hull-flux PINN ≤ 0.02", 0.02, of("hull-flux PINN: front error at M = 2")),
        most("C3: relative L2 error of PIANN at M = 2 ≤ 0.27", 0.27, error("PIANN", 2)),
        most("C3: relative L2 error of PIANN at M = 5, not learned, ≤ 0.23", 0.23, error("PIANN", 5)),
        most("C3: PIANN ≤ 0.75 × MLP of (x, t, M) at M = 2", 0.75, ratio(2)),
        most("C3: PIANN ≤ 0.75 × MLP of (x, t, M) at M = 5", 0.75, ratio(5)),
        most("C3: PIANN learns in ≤ 60 s", 60.0, of("PIANN: time of learning")),
        Check::at_least(
            "C4: finite volumes of as many cells stand beside it: PIANN's error over theirs at M = 2 (no target)",
            0.0,
            error("PIANN", 2).zip(error("finite volumes, 50 cells", 2)).map(|(piann, volumes)| piann / volumes),
            "1",
        ),
    ]
}

/// The exact solution for one mobility.
struct Exact {
    mobility: f64,
    places: Vec<f64>,
    times: Vec<f64>,
    /// u at the places, for each time.
    fields: Vec<Vec<f64>>,
}

impl Exact {
    fn computed(mobility: f64) -> Self {
        let law = BuckleyLeverett::new(mobility);
        let places: Vec<f64> = (0..PLACES).map(|place| place as f64 / (PLACES - 1) as f64).collect();
        let fields = TIMES.iter().map(|time| places.iter().map(|x| law.exact(*x, *time)).collect()).collect();
        Self { mobility, places, times: TIMES.to_vec(), fields }
    }

    /// A file whose lines are x and u at each time; the line that begins with `# columns:` names the times.
    fn read(file: &Path, mobility: f64) -> Result<Self, Error> {
        let refuse = |what: String| Error::Data(format!("{}: {what}", file.display()));
        let bytes = read_bounded(file, MOST).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|_| refuse("is no text".to_owned()))?;
        let (mut places, mut times, mut fields) = (vec![], vec![], vec![]);
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                if let Some((_, named)) = comment.split_once("t=") {
                    let found: Option<Vec<f64>> = named.split(',').map(|time| time.trim().parse().ok()).collect();
                    times = found.unwrap_or_default();
                    fields = vec![vec![]; times.len()];
                }
                continue;
            }
            let row: Option<Vec<f64>> =
                line.split(',').map(|cell| cell.trim().parse().ok().filter(|x: &f64| x.is_finite())).collect();
            match row.as_deref() {
                Some([x, u @ ..]) if !u.is_empty() && u.len() == times.len() => {
                    places.push(*x);
                    fields.iter_mut().zip(u).for_each(|(field, u)| field.push(*u));
                }
                _ => {
                    let wanted = times.len();
                    return Err(refuse(format!(
                        "line {} must be x and {wanted} values of u, below a line `# columns: x,t=0.1,…` that names the times",
                        number + 1
                    )));
                }
            }
        }
        if places.is_empty() {
            return Err(refuse("holds no line of x and u".to_owned()));
        }
        Ok(Self { mobility, places, times, fields })
    }

    /// The relative error of fields in the mean square over places and times.
    fn error(&self, of: &dyn Fn(f64) -> Vec<f64>) -> f64 {
        let (mut missed, mut all) = (0.0, 0.0);
        for (time, exact) in self.times.iter().zip(&self.fields) {
            for (u, exact) in of(*time).iter().zip(exact) {
                missed += (u - exact).powi(2);
                all += exact * exact;
            }
        }
        (missed / all).sqrt()
    }

    /// How far the front is from its place, on the mean over the times at which it is inside: where u last falls through half its height.
    fn front_error(&self, of: &dyn Fn(f64) -> Vec<f64>) -> f64 {
        let law = BuckleyLeverett::new(self.mobility);
        let level = 0.5 * law.shock();
        let inside = self.times.iter().filter(|time| law.shock_speed() * **time < 0.95);
        let (mut sum, mut count) = (0.0, 0.0);
        for time in inside {
            let u = of(*time);
            let found = u.windows(2).rposition(|pair| level <= pair[0] && pair[1] < level).map_or(0.0, |place| {
                let share = (u[place] - level) / (u[place] - u[place + 1]);
                self.places[place] + share * (self.places[place + 1] - self.places[place])
            });
            (sum, count) = (sum + (found - law.shock_speed() * time).abs(), count + 1.0);
        }
        sum / count
    }

    /// Error of a network.
    fn of_twin(&self, twin: &dyn FieldTwin) -> f64 {
        self.error(&|time| twin.field(&self.places, time, self.mobility))
    }
}

/// The exact solutions: from files where there are some, otherwise computed.
fn exact(data: Option<&Path>, measured: &mut Measured) -> Result<Vec<Exact>, Error> {
    let mut all = Vec::new();
    let mut apart: Option<f64> = None;
    for mobility in TESTED {
        let file = data.map(|data| data.join(format!("buckley_leverett/bl_M{mobility}.csv")));
        let read = match file {
            Some(file) if file.is_file() => Some(Exact::read(&file, mobility)?),
            _ => None,
        };
        if let Some(read) = &read {
            let law = BuckleyLeverett::new(mobility);
            for (time, field) in read.times.iter().zip(&read.fields) {
                for (x, u) in read.places.iter().zip(field) {
                    // Within a rounding of the shock either side is right.
                    if (x - law.shock_speed() * time).abs() > 1e-9 {
                        apart = Some(apart.unwrap_or(0.0).max((u - law.exact(*x, *time)).abs()));
                    }
                }
            }
        }
        all.push(read.unwrap_or_else(|| Exact::computed(mobility)));
    }
    match apart {
        Some(apart) => {
            measured.add("exact solution: largest difference between files and this program", apart, "1", 0);
        }
        None => tell!("piann: the exact solution is computed: --data has no buckley_leverett/bl_M2.csv"),
    }
    Ok(all)
}

/// A network that has learned, and how many seconds that took; and who makes one.
type Learned = (Box<dyn FieldTwin>, f64);
type Learn<'a> = &'a dyn Fn(&Training, &mut dyn FnMut(usize, f64) -> bool) -> Learned;

/// How networks are trained.
fn training(quick: bool, kind: usize, seed: u64) -> Training {
    let updates = if quick { QUICK } else { UPDATES };
    Training { updates: updates[kind], batch: BATCH, rate: RATES[kind], key: Key::new(seed).branch("piann") }
}

/// Seconds of one call, the fastest of some.
pub(super) fn seconds<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..10 {
        let start = Instant::now();
        std::hint::black_box(work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    let exact = exact(asked.data, measured)?;
    volumes(&exact, measured);
    let mut goes_on = |_: usize, _: f64| !crate::stop::requested();
    for (name, hull) in [("plain PINN", false), ("hull-flux PINN", true)] {
        tell!("piann: {name}");
        let training = training(asked.quick, 1, SEEDS[0]);
        let start = Instant::now();
        let mut twin = PointPinn::<f32>::new(BuckleyLeverett::new(TESTED[0]), hull, training.key);
        twin.train(&training, &mut goes_on);
        Error::if_stopped()?;
        measured.add(format!("{name}: time of learning"), start.elapsed().as_secs_f64(), "s", SEEDS[0]);
        measured.add(format!("{name}: relative L2 error at M = 2"), exact[0].of_twin(&twin), "1", SEEDS[0]);
        let front = exact[0].front_error(&|time| twin.field(&exact[0].places, time, TESTED[0]));
        measured.add(format!("{name}: front error at M = 2"), front, "1", SEEDS[0]);
    }
    let seeds = if asked.quick { &SEEDS[..1] } else { &SEEDS[..] };
    let plain = |training: &Training, goes_on: &mut dyn FnMut(usize, f64) -> bool| -> Learned {
        let start = Instant::now();
        let mut twin = PlainParametric::<f32>::new(&LEARNED, training.key);
        twin.train(training, goes_on);
        (Box::new(twin), start.elapsed().as_secs_f64())
    };
    let attentive = |training: &Training, goes_on: &mut dyn FnMut(usize, f64) -> bool| -> Learned {
        let start = Instant::now();
        let mut twin = Piann::<f32>::new(&LEARNED, training.key);
        twin.train(training, goes_on);
        (Box::new(twin), start.elapsed().as_secs_f64())
    };
    let kinds: [(&str, Learn<'_>); 2] = [("MLP of (x, t, M)", &plain), ("PIANN", &attentive)];
    for (name, learn) in kinds {
        let (mut found, mut times) = (vec![], vec![]);
        for seed in seeds {
            tell!("piann: {name}, seed {seed}");
            let (twin, learning) = learn(&training(asked.quick, 0, *seed), &mut goes_on);
            Error::if_stopped()?;
            let mut findings: Vec<Finding> = exact
                .iter()
                .map(|exact| {
                    Finding::new(
                        format!("{name}: relative L2 error at M = {}", exact.mobility),
                        exact.of_twin(twin.as_ref()),
                    )
                })
                .collect();
            let front = exact[0].front_error(&|time| twin.field(&exact[0].places, time, TESTED[0]));
            findings.push(Finding::new(format!("{name}: front error at M = 2"), front));
            findings.push(Finding::new(format!("{name}: weights"), twin.size() as f64));
            found.push(findings);
            times.push([learning, 1e3 * seconds(|| exact[0].of_twin(twin.as_ref()))]);
        }
        measured.take(&found, seeds);
        // Of several seeds the slowest.
        let slowest = |of: usize| times.iter().map(|times| times[of]).fold(0.0, f64::max);
        measured.add(format!("{name}: time of learning"), slowest(0), "s", seeds[0]);
        measured.add(format!("{name}: time of five fields"), slowest(1), "ms", seeds[0]);
    }
    Ok(())
}

/// C4: the classical scheme, in error and time.
fn volumes(exact: &[Exact], measured: &mut Measured) {
    for cells in CELLS {
        for exact in exact {
            let law = BuckleyLeverett::new(exact.mobility);
            let fields = || law.finite_volumes(cells, &exact.times);
            let found = fields();
            let at = |time: f64| {
                let place = exact.times.iter().position(|known| *known == time).unwrap_or_default();
                let nodes: Vec<f64> = std::iter::once(1.0).chain(found[place].iter().copied()).collect();
                interpolated(&nodes, &exact.places)
            };
            let name = format!("finite volumes, {cells} cells");
            measured.add(format!("{name}: relative L2 error at M = {}", exact.mobility), exact.error(&at), "1", 0);
            if exact.mobility == TESTED[0] {
                measured.add(format!("{name}: front error at M = 2"), exact.front_error(&at), "1", 0);
                measured.add(format!("{name}: time of five fields"), 1e3 * seconds(fields), "ms", 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_solution_has_no_error_and_its_front_is_in_place() {
        let exact = Exact::computed(2.0);
        let law = BuckleyLeverett::new(2.0);
        let of = |time: f64| exact.places.iter().map(|x| law.exact(*x, time)).collect::<Vec<_>>();
        assert_eq!(exact.error(&of), 0.0);
        assert!(exact.front_error(&of) < 0.005, "less than a step of the places");
        let nothing = |_: f64| vec![0.0; PLACES];
        assert!((exact.error(&nothing) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_file_that_is_none_is_refused_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bl_M2.csv");
        std::fs::write(&file, "# columns: x,t=0.1,0.2\n0.0,1.0,1.0\n0.5,0.7\n").unwrap();
        let refused = Exact::read(&file, 2.0).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("bl_M2.csv: line 3 must be x and 2 values"), "{refused}");
        std::fs::write(&file, "# columns: x,t=0.1,0.2\n0.0,1.0,1.0\n0.5,0.7,0.8\n").unwrap();
        let read = Exact::read(&file, 2.0).unwrap();
        assert_eq!((read.times, read.fields), (vec![0.1, 0.2], vec![vec![1.0, 0.7], vec![1.0, 0.8]]));
    }
}

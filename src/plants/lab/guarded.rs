//! A plant that is made safe whatever the way out: end, error, panic; and when its program dies, by its guard.
//!
//! Being made safe is never left out because it was done before: what an earlier program left on must go off as well. It is done by a
//! thread of its own with a deadline, so a driver that hangs keeps neither the program nor the other plants waiting.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use drivers::{Batch, Card, Error, Origin, Plant, Probe};

use super::guard::Guard;
use crate::log;

/// What a plant has to reach its safe state. Links keep shorter deadlines of their own; this one is for what has none.
const WITHIN: Duration = Duration::from_secs(5);

/// A plant that is made safe when it is dropped.
pub struct Guarded {
    /// The plant's name in its rig.
    name: String,
    plant: Box<dyn Plant>,
    /// Whether this program has made it safe and asked nothing of it since.
    safe: bool,
    /// Whoever makes it safe when this program dies; it goes after the plant, whose instruments are free by then.
    guard: Option<Guard>,
}

impl Guarded {
    /// Guards `plant`, which people call `name`; `guard` is told goodbye when it is safe for good.
    pub fn new(name: &str, plant: Box<dyn Plant>, guard: Option<Guard>) -> Self {
        // What only replays a recording has no output that could be on.
        let safe = plant.card().identity.origin == Origin::Replayed;
        Self { name: name.to_owned(), plant, safe, guard }
    }

    /// Makes all of them safe side by side, each within its deadline: how each went, in their order.
    pub fn make_all_safe<'a>(plants: impl Iterator<Item = &'a mut Self>) -> Vec<Result<(), Error>> {
        let until = Instant::now() + WITHIN;
        let begun: Vec<(&mut Self, Making)> = plants.map(|plant| (plant.begin(), plant)).map(|(a, b)| (b, a)).collect();
        begun.into_iter().map(|(plant, making)| plant.finish(making, until)).collect()
    }

    /// Whether this program has made it safe and asked nothing of it since.
    pub fn is_safe(&self) -> bool {
        self.safe
    }

    /// That it is not safe, and why: a rig may have several plants of one system, so it has its own name.
    fn not_safe(&self, why: &Error) -> String {
        format!("plant `{}` is NOT SAFE: {why}", self.name)
    }

    fn begin(&mut self) -> Making {
        if self.safe && self.card().identity.origin == Origin::Replayed {
            return Making::Done(Ok(()));
        }
        self.safe = false;
        let absent = Box::new(Absent(self.card().clone()));
        let parcel = Arc::new(Mutex::new(Some(std::mem::replace(&mut self.plant, absent))));
        let take =
            |parcel: &Mutex<Option<Box<dyn Plant>>>| parcel.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (sender, back) = channel();
        let work = {
            let (parcel, log) = (parcel.clone(), log::current());
            move || {
                let _log = log::adopt(log);
                if let Some(mut plant) = take(&parcel) {
                    let made = plant.make_safe();
                    // Who no longer waits gets no plant back: it is dropped here.
                    drop(sender.send((plant, made)));
                }
            }
        };
        if std::thread::Builder::new().name("make safe".into()).spawn(work).is_ok() {
            return Making::Under(back);
        }
        // Without a thread there is no deadline, but it is done all the same.
        if let Some(plant) = take(&parcel) {
            self.plant = plant;
        }
        Making::Done(self.plant.make_safe())
    }

    fn finish(&mut self, making: Making, until: Instant) -> Result<(), Error> {
        let made = match making {
            Making::Done(made) => made,
            Making::Under(back) => match back.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((plant, made)) => {
                    self.plant = plant;
                    made
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(hangs(self.card())),
            },
        };
        self.safe = made.is_ok();
        made
    }
}

/// A plant that is being made safe.
enum Making {
    Done(Result<(), Error>),
    Under(Receiver<(Box<dyn Plant>, Result<(), Error>)>),
}

/// In the place of a plant whose driver hangs.
struct Absent(Card);

fn hangs(card: &Card) -> Error {
    let instrument = card.identity.system.clone();
    Error::Timeout { instrument, what: "safe state", seconds: WITHIN.as_secs_f32() }
}

impl Plant for Absent {
    fn card(&self) -> &Card {
        &self.0
    }

    fn apply(&mut self, _: &[f32]) -> Result<Vec<f32>, Error> {
        Err(hangs(&self.0))
    }

    fn measure(&mut self, _: &Batch) -> Result<Batch, Error> {
        Err(hangs(&self.0))
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        Err(hangs(&self.0))
    }
}

impl Plant for Guarded {
    fn card(&self) -> &Card {
        self.plant.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.safe = false;
        self.plant.apply(controls)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        self.safe = false;
        self.plant.measure(inputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        let making = self.begin();
        self.finish(making, Instant::now() + WITHIN)
    }

    fn probe(&mut self, rest: &Batch) -> Result<Probe, Error> {
        self.safe = false;
        self.plant.probe(rest)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let made = if self.safe { Ok(()) } else { self.make_safe() };
        match made {
            Ok(()) => self.guard.take().into_iter().for_each(Guard::say_goodbye),
            // What only replays a recording has no output that could be on.
            Err(_) if self.card().identity.origin == Origin::Replayed => {}
            Err(error) => tell!("pnnlab: {}", self.not_safe(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drivers::{Identity, Ports, Timing};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts how often it was made safe; hangs where it is told to.
    struct Counting {
        card: Card,
        count: Arc<AtomicUsize>,
        hang: Option<Receiver<()>>,
    }

    impl Plant for Counting {
        fn card(&self) -> &Card {
            &self.card
        }

        fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
            Ok(controls.to_vec())
        }

        fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
            Ok(inputs.clone())
        }

        fn make_safe(&mut self) -> Result<(), Error> {
            if let Some(hang) = &self.hang {
                let _ = hang.recv();
            }
            self.count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    fn plant(origin: Origin, hang: Option<Receiver<()>>) -> (Guarded, Arc<AtomicUsize>) {
        let identity = Identity { system: "test".into(), serial: "1".into(), origin };
        let ports = Ports { inputs: vec![], controls: vec![], outputs: vec![] };
        let count = Arc::new(AtomicUsize::new(0));
        let card = Card { identity, ports, timing: Timing::default() };
        (Guarded::new("bench", Box::new(Counting { card, count: count.clone(), hang }), None), count)
    }

    #[test]
    fn what_was_never_driven_here_is_made_safe_as_well() {
        let (plant, count) = plant(Origin::Real, None);
        drop(plant);
        assert_eq!(count.load(Ordering::SeqCst), 1, "an earlier program may have left it on");
    }

    #[test]
    fn a_plant_that_is_not_safe_is_called_by_its_name_in_the_rig() {
        let (plant, _) = plant(Origin::Real, None);
        let text = plant.not_safe(&hangs(plant.card()));
        assert!(text.starts_with("plant `bench` is NOT SAFE: "), "{text}");
    }

    #[test]
    fn each_request_is_carried_out_and_the_end_repeats_none() {
        let (mut plant, count) = plant(Origin::Real, None);
        plant.make_safe().unwrap();
        plant.make_safe().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
        drop(plant);
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_is_replayed_is_asked_only_after_it_was_driven() {
        let (mut plant, count) = plant(Origin::Replayed, None);
        plant.make_safe().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 0, "a recorded dialogue has no such words there");
        plant.apply(&[]).unwrap();
        drop(plant);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_panic_makes_it_safe() {
        let (mut plant, count) = plant(Origin::Real, None);
        let work = move || {
            plant.apply(&[]).unwrap();
            panic!("somewhere else");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_driver_that_hangs_keeps_no_other_plant_on() {
        let (go_on, hang) = channel();
        let ((mut first, hung), (mut second, count)) = (plant(Origin::Real, Some(hang)), plant(Origin::Real, None));
        let made = std::thread::scope(|scope| {
            let making = scope.spawn(|| Guarded::make_all_safe([&mut first, &mut second].into_iter()));
            while count.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert_eq!(hung.load(Ordering::SeqCst), 0, "the second does not wait for the first");
            making.join().unwrap()
        });
        assert!(matches!(made[0], Err(Error::Timeout { what: "safe state", .. })), "{:?}", made[0]);
        assert!(made[1].is_ok());
        assert!(first.measure(&Batch::zeros(0, 0)).is_err(), "nobody drives what hangs");
        drop(go_on);
    }
}

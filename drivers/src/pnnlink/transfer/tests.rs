//! Batches over wires that lose, repeat and delay, in virtual time.

use super::*;
use proptest::prelude::*;

const SHAPE: Shape = Shape { input_bytes: 2, output_bytes: 2, per_request: 3, window: 8 };

/// An instrument that answers each shot with its inputs, and counts how often it drove each.
#[derive(Default)]
struct Instrument {
    expected: u64,
    driven: Vec<Vec<u8>>,
    stale: Vec<usize>,
}

enum Answer {
    Results(u64, u32, Vec<u8>),
    OutOfOrder(u64),
}

impl Instrument {
    fn take(&mut self, request: &Request) -> Answer {
        let Request::Shots { first, values, .. } = request else { panic!("only shots") };
        if self.expected < *first {
            return Answer::OutOfOrder(self.expected);
        }
        let count = values.len() / 2;
        for (number, value) in (*first..).zip(values.chunks(2)) {
            if self.expected == number {
                self.driven.push(value.to_vec());
                self.expected += 1;
            }
        }
        let rows = *first as usize..*first as usize + count;
        assert!(self.driven.len() <= rows.start + SHAPE.window, "answers older than the window are forgotten");
        let acquisition = if self.stale.contains(&rows.start) { first.wrapping_sub(1) } else { *first } as u32;
        Answer::Results(*first, acquisition, self.driven[rows].concat())
    }
}

fn inputs(shots: usize) -> Vec<u8> {
    (0..shots).flat_map(|shot| (shot as u16).to_le_bytes()).collect()
}

/// Sends a batch over a wire that does to each message what `fate` says: lose it, repeat it, or hold it for a while.
fn run(shots: usize, fates: &[u8], stale: &[usize]) -> (Vec<Option<Vec<u8>>>, Instrument, Counts) {
    let inputs = inputs(shots);
    let mut transfer = Transfer::new(&inputs, SHAPE, 0, None);
    let mut instrument = Instrument { stale: stale.to_vec(), ..Instrument::default() };
    let mut fates = fates.iter().copied().chain(std::iter::repeat(9));
    let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
    transfer.start(Duration::ZERO, Duration::from_millis(20));
    for tick in 0.. {
        assert!(tick < 200_000, "the batch ends");
        let now = Duration::from_millis(tick);
        if let Some(request) = transfer.next(now) {
            match fates.next().unwrap() {
                0 => {}
                1 => there.extend([request.clone(), request]),
                _ => there.push_back(request),
            }
        }
        // A held message holds those behind it, as a wire does.
        if fates.next().unwrap() != 2
            && let Some(request) = there.pop_front()
        {
            let answer = instrument.take(&request);
            if fates.next().unwrap() != 0 {
                back.push_back(answer);
            }
        }
        if fates.next().unwrap() != 2 {
            match back.pop_front() {
                Some(Answer::Results(first, acquisition, values)) => {
                    transfer.results(now, first, acquisition, (false, &values)).unwrap();
                }
                Some(Answer::OutOfOrder(expected)) => transfer.out_of_order(now, expected).unwrap(),
                None => {}
            }
        }
        if transfer.is_done() {
            break;
        }
    }
    (transfer.readings().map(|reading| reading.map(<[u8]>::to_vec)).collect(), instrument, transfer.counts())
}

#[test]
fn a_good_wire_carries_each_shot_once() {
    let (readings, instrument, counts) = run(50, &[], &[]);
    assert_eq!(readings.len(), 50);
    assert_eq!(instrument.driven.concat(), inputs(50));
    assert_eq!(counts, Counts { sent: 50, ..Counts::default() });
}

#[test]
fn a_stale_reading_is_void() {
    let (readings, _, counts) = run(12, &[], &[3, 9]);
    let void: Vec<usize> = (0..12).filter(|&row| readings[row].is_none()).collect();
    assert_eq!((void, counts.void), (vec![3, 9], 2));
}

#[test]
fn a_stale_reading_that_comes_before_its_elder_is_void() {
    let inputs = inputs(2);
    let mut transfer = Transfer::new(&inputs, Shape { per_request: 1, ..SHAPE }, 0, None);
    while transfer.next(Duration::ZERO).is_some() {}
    transfer.results(Duration::ZERO, 1, 7, (false, &[1, 1])).unwrap();
    transfer.results(Duration::ZERO, 0, 7, (false, &[0, 0])).unwrap();
    assert_eq!(transfer.readings().collect::<Vec<_>>(), [Some(&[0, 0][..]), None]);
}

#[test]
fn frames_that_stay_stale_or_go_back_are_void_in_any_order() {
    let acquisitions = [u32::MAX, u32::MAX, u32::MAX, u32::MAX - 1, u32::MAX, 0, 1, 1];
    let inputs = inputs(acquisitions.len());
    for order in
        [[0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0], [1, 3, 5, 7, 0, 2, 4, 6], [4, 2, 0, 1, 3, 7, 6, 5]]
    {
        let mut transfer = Transfer::new(&inputs, Shape { per_request: 1, ..SHAPE }, 0, None);
        while transfer.next(Duration::ZERO).is_some() {}
        for row in order {
            transfer.results(Duration::ZERO, row as u64, acquisitions[row], (false, &[row as u8, 0])).unwrap();
        }
        let read: Vec<usize> = transfer.readings().enumerate().filter_map(|(row, read)| read.map(|_| row)).collect();
        assert_eq!((read, transfer.counts().void, transfer.acquisition()), (vec![0, 5, 6], 5, Some(1)), "{order:?}");
    }
}

#[test]
fn the_first_reading_of_a_batch_may_not_be_the_last_one_of_the_batch_before() {
    let inputs = inputs(1);
    let mut transfer = Transfer::new(&inputs, SHAPE, 40, Some(6));
    transfer.next(Duration::ZERO).unwrap();
    transfer.results(Duration::ZERO, 40, 6, (false, &[0, 0])).unwrap();
    assert!(transfer.is_done());
    assert_eq!(transfer.readings().collect::<Vec<_>>(), [None]);
}

#[test]
fn answers_to_what_was_never_sent_are_nonsense() {
    let inputs = inputs(20);
    let mut transfer = Transfer::new(&inputs, SHAPE, 100, None);
    transfer.next(Duration::ZERO).unwrap();
    assert_eq!(transfer.results(Duration::ZERO, 103, 0, (false, &[0, 0])), Err(Nonsense));
    assert_eq!(transfer.results(Duration::ZERO, 100, 0, (false, &[0])), Err(Nonsense));
    assert_eq!(transfer.results(Duration::ZERO, u64::MAX, 0, (false, &[0, 0])), Err(Nonsense));
    assert_eq!(transfer.out_of_order(Duration::ZERO, 104), Err(Nonsense));
    assert_eq!(transfer.results(Duration::ZERO, 99, 0, (false, &[0, 0])), Ok(()), "late, but not news");
}

proptest! {
    #[test]
    fn whatever_the_wire_does_each_shot_is_driven_once_and_read_in_its_place(
        shots in 1_usize..60,
        fates in prop::collection::vec(0_u8..10, 0..400),
    ) {
        let (readings, instrument, _) = run(shots, &fates, &[]);
        prop_assert_eq!(instrument.driven.concat(), inputs(shots));
        let read: Vec<Vec<u8>> = readings.into_iter().map(Option::unwrap).collect();
        prop_assert_eq!(read.concat(), inputs(shots));
    }
}

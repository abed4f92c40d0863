//! Beside the owner: looks whether outputs that were switched off stay off.

use std::time::{Duration, Instant};

use crate::Error;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks at the outputs of `instrument` again and again for `time`, once at least; what is on again is switched off at once, and is an
/// error at the end.
pub(crate) fn stays_off(
    instrument: &str,
    time: Duration,
    is_off: impl Fn() -> Result<bool, Error>,
    switch_off: impl Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let start = Instant::now();
    let mut was_on = false;
    loop {
        if !is_off()? {
            was_on = true;
            // Where somebody switches it on meanwhile it is seen at the next look.
            drop(switch_off());
        }
        if time <= start.elapsed() {
            break;
        }
        std::thread::sleep(PAUSE.min(time.saturating_sub(start.elapsed())));
    }
    if was_on { Err(Error::OnAgain { instrument: instrument.to_owned() }) } else { Ok(()) }
}

/// Whether the answer to a SCPI query of the output's state says that the output is off, or what it says else.
pub(crate) fn is_off(answers: &[Vec<u8>]) -> Result<(), String> {
    let state = answers.first().map(|answer| String::from_utf8_lossy(answer).into_owned()).unwrap_or_default();
    if crate::settings_agree("OFF", &state) { Ok(()) } else { Err(state) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_is_on_again_is_switched_off_and_said() {
        let (looks, switched) = (Cell::new(0), Cell::new(0));
        let look = |on_at: u32| {
            looks.set(0);
            switched.set(0);
            let is_off = || {
                looks.set(looks.get() + 1);
                Ok(looks.get() != on_at)
            };
            let switch_off = || {
                switched.set(switched.get() + 1);
                Ok(())
            };
            stays_off("scope", Duration::from_millis(60), is_off, switch_off)
        };
        look(u32::MAX).unwrap();
        assert!(looks.get() >= 2 && switched.get() == 0, "it is looked at until the end");
        let text = look(2).unwrap_err().to_string();
        assert!(text.contains("`scope`") && text.contains("is on again"), "{text}");
        assert!(switched.get() == 1 && looks.get() >= 2, "the other looks find it off");
        let lost = || Err(Error::OnAgain { instrument: "lost".into() });
        assert!(
            stays_off("scope", Duration::ZERO, lost, || Ok(())).is_err(),
            "what cannot be looked at is not said to be off"
        );
    }
}

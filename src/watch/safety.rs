//! What became of `!`: a line for each run that was asked, above everything else that is said, until that run says SAFE.

use std::path::{Path, PathBuf};

use super::dashboard::{Dashboard, NOTICE_SECONDS, Page, Safety};
use super::news::Answer;
use super::number::{duration, wrapped};
use super::record::Log;
use super::theme::Tone;
use crate::control::{Reply, RunState};

/// Rows at most, so that the page stays in sight.
const ROWS: usize = 4;

impl Dashboard {
    /// `!` was pressed at `asked`, and concerns the runs in `folders`.
    pub fn ask_safe(&mut self, asked: f64, folders: &[PathBuf]) {
        if folders.is_empty() {
            let over = self.run.as_ref().filter(|_| self.page == Page::Run);
            let (tone, text) = match over.map(|run| run.log.ends_safe) {
                None => (Tone::Minor, "no run is active: nothing to make safe"),
                Some(true) => (Tone::Plain, "this run is over, and its plants were made safe at its end"),
                Some(false) => {
                    (Tone::Major, "it ended without making its plants safe: pnnlab safe RIG, or switch off by hand")
                }
            };
            self.say(tone, text.to_owned());
        }
        if !folders.is_empty() {
            // What was answered before says nothing about a run that is asked to be safe.
            self.notice = None;
        }
        for folder in folders {
            let known = self.safety_of(folder);
            known.asked = known.asked.max(asked);
        }
    }

    /// A run has answered `!`, or cannot be asked.
    pub fn take_safe_answer(&mut self, answer: &Answer) {
        let now = self.now;
        let known = self.safety_of(&answer.folder);
        known.asked = known.asked.max(answer.asked);
        known.answered = known.answered.max(answer.asked);
        match &answer.reply {
            Ok(Reply::Done { state }) => {
                (known.failure, known.safe_since) = (None, now);
                known.paused = *state == RunState::Paused;
                known.safe = known.safe.max(answer.asked);
            }
            // It was asked again since, and that made it safe.
            _ if answer.asked < known.safe => {}
            Ok(Reply::Refused { message }) | Err(message) => {
                known.failure = Some(format!("{message}. {}", answer.holder.advice()));
            }
            Ok(Reply::Status(_)) => {
                known.failure = Some(format!("it answered something else. {}", answer.holder.advice()));
            }
        }
    }

    /// The record of the run in `folder` says as well when its plants were made safe.
    pub fn take_safe_record(&mut self, folder: &Path, log: &Log) {
        let now = self.now;
        let Some(time) = log.safe else { return };
        if let Some(known) = self.safety.iter_mut().find(|known| known.folder == folder)
            && known.asked <= time
            && (known.failure.is_some() || known.answered < known.asked)
        {
            (known.failure, known.safe_since, known.paused) = (None, now, false);
            (known.answered, known.safe) = (known.asked, known.asked);
        }
    }

    /// The run in `folder` drives its plants again, or has died: that it was safe says nothing about now.
    pub fn forget_safe(&mut self, folder: &Path) {
        if let Some(known) = self.safety.iter_mut().find(|known| known.folder == folder) {
            known.safe_since = f64::NEG_INFINITY;
        }
    }

    /// When the run in `folder` said SAFE last.
    pub fn safe_since(&self, folder: &Path) -> f64 {
        let known = self.safety.iter().find(|known| known.folder == folder);
        known.map_or(f64::INFINITY, |known| known.safe_since)
    }

    fn safety_of(&mut self, folder: &Path) -> &mut Safety {
        let place = self.safety.iter().position(|known| known.folder == folder).unwrap_or_else(|| {
            let never = f64::NEG_INFINITY;
            let folder = folder.to_owned();
            let new = Safety {
                folder,
                asked: never,
                answered: never,
                safe: never,
                safe_since: never,
                paused: false,
                failure: None,
            };
            self.safety.push(new);
            self.safety.len() - 1
        });
        &mut self.safety[place]
    }

    /// How the run in `folder` is called in a line: the open one needs no name.
    pub fn prefix(&self, folder: &Path) -> String {
        let open = self.page == Page::Run && self.run.as_ref().is_some_and(|run| run.folder == folder);
        let row = self.table.rows.iter().find(|row| row.folder == folder);
        let last = || folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if open { String::new() } else { format!("{}: ", row.map_or_else(last, |row| row.name.clone())) }
    }

    /// The lines in at most `width` columns: first what is not safe, then what has not answered, then for a while what is safe.
    pub fn safety_lines(&self, width: u16) -> Vec<(Tone, String)> {
        let mut said: Vec<(u8, Tone, String)> = Vec::new();
        for known in &self.safety {
            let name = self.prefix(&known.folder);
            let waits = known.answered < known.asked;
            let since = duration(self.now - known.asked);
            match &known.failure {
                Some(failure) => {
                    let again = if waits { format!(". Asked again {since} ago") } else { String::new() };
                    said.push((0, Tone::Major, format!("{name}NOT SAFE: {failure}{again}")));
                }
                None if waits => {
                    said.push((1, Tone::Minor, format!("{name}SAFE asked for {since} ago: no answer yet")));
                }
                None if self.now - known.safe_since < NOTICE_SECONDS => {
                    let paused = if known.paused { "; paused (p goes on)" } else { "" };
                    let text = format!("{name}SAFE: the plants are in their safe state{paused}");
                    said.push((2, Tone::Good, text));
                }
                None => {}
            }
        }
        said.sort_by_key(|(order, ..)| *order);
        let mut rows = Vec::new();
        for (index, (_, tone, text)) in said.iter().enumerate() {
            let these = wrapped(text, usize::from(width).saturating_sub(1));
            let last = index + 1 == said.len();
            if ROWS < rows.len() + these.len() + usize::from(!last) && !rows.is_empty() {
                rows.push((
                    said[index].1,
                    format!(" … and {} more runs that were asked to be safe", said.len() - index),
                ));
                break;
            }
            rows.extend(these.into_iter().map(|row| (*tone, format!(" {row}"))));
        }
        rows.truncate(ROWS);
        rows
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyCode;

    use super::*;
    use crate::control::{Request, Status};
    use crate::watch::{
        connection::Connection,
        find::RunRow,
        golden::{NOW, SMALL, UNICODE, dashboard, facts, picture, press, status, type_keys},
        holder::Holder,
        keys::Effect,
    };

    fn answer(folder: &str, asked: f64, reply: Result<Reply, String>) -> Answer {
        let holder = Holder::Alive(4711);
        Answer { folder: folder.into(), request: Request::Safe, asked, reply, holder }
    }

    const SAFE: Result<Reply, String> = Ok(Reply::Done { state: RunState::Paused });

    fn late() -> Result<Reply, String> {
        Err("no answer in time".to_owned())
    }

    /// The table of two runs, A and B, both asked.
    fn two() -> Dashboard {
        let mut dashboard = Dashboard::new("runs".into(), UNICODE, NOW);
        let row = |name: &str, process: u32| RunRow {
            folder: format!("runs/{name}").into(),
            name: name.into(),
            facts: facts("running"),
            status: Some(Status { process, ..status(NOW) }),
            holder: Holder::Unknown,
        };
        dashboard.take_runs(vec![row("a", 11_173), row("b", 11_174)]);
        assert_eq!(dashboard.targets().len(), 2);
        dashboard.ask_safe(NOW, &dashboard.targets());
        dashboard
    }

    #[test]
    fn what_is_not_safe_names_its_run_and_its_own_process() {
        let mut dashboard = two();
        dashboard.take_answer(answer("runs/b", NOW, SAFE));
        dashboard.now += 5.0;
        let text = picture(&dashboard, SMALL);
        assert!(
            text.contains("a: SAFE asked for 5.0 s ago: no answer yet"),
            "an answer covers no open question: {text}"
        );
        assert!(text.contains("b: SAFE: the plants are in their safe state"), "{text}");
        // B is opened; A's answer comes late.
        dashboard.open("runs/b".into());
        dashboard.run.as_mut().unwrap().status = Some(Status { process: 11_174, ..status(NOW) });
        dashboard.now += 5.0;
        dashboard.take_answer(Answer { holder: Holder::Alive(11_173), ..answer("runs/a", NOW, late()) });
        insta::assert_snapshot!("not-safe", picture(&dashboard, SMALL));
        let text = picture(&dashboard, (120, 24));
        assert!(text.contains(" a: NOT SAFE: no answer in time. End it: kill -TERM 11173. Or switch"), "{text}");
        assert!(!text.contains("11174. "), "{text}");
    }

    #[test]
    fn only_safe_of_that_run_takes_it_away() {
        let mut dashboard = two();
        dashboard.take_answer(answer("runs/a", NOW, late()));
        dashboard.now += 600.0;
        let stays = |dashboard: &Dashboard| picture(dashboard, SMALL).contains("a: NOT SAFE: no answer in time");
        assert!(stays(&dashboard));
        type_keys(&mut dashboard, "/b");
        assert!(stays(&dashboard), "while a filter is typed");
        press(&mut dashboard, &[KeyCode::Esc]);
        type_keys(&mut dashboard, "?");
        assert!(stays(&dashboard), "under the help");
        type_keys(&mut dashboard, "?p");
        assert!(dashboard.notice().is_some() && stays(&dashboard), "beside another sentence");
        dashboard.take_answer(answer("runs/b", NOW, SAFE));
        assert!(stays(&dashboard), "another run is safe");
        dashboard.ask_safe(dashboard.now, &["runs/a".into()]);
        assert!(picture(&dashboard, (120, 24)).contains("Asked again 0.0 s ago"));
        dashboard.take_answer(answer("runs/a", dashboard.now, SAFE));
        assert!(!stays(&dashboard) && picture(&dashboard, SMALL).contains("a: SAFE: the plants"));
        // What was asked before that fails later: it says nothing about now.
        dashboard.take_answer(answer("runs/a", NOW + 1.0, late()));
        assert!(!stays(&dashboard));
        dashboard.now += NOTICE_SECONDS;
        assert_eq!(dashboard.safety_lines(80), []);
    }

    #[test]
    fn an_answer_may_come_before_the_key_is_known_and_a_record_tells_as_well() {
        let mut dashboard = dashboard("normal");
        let folder = dashboard.run.as_ref().unwrap().folder.clone();
        let name = folder.display().to_string();
        dashboard.take_answer(answer(&name, NOW, SAFE));
        dashboard.ask_safe(NOW, std::slice::from_ref(&folder));
        assert!(picture(&dashboard, SMALL).contains(" SAFE: the plants are in their safe state"), "it needs no name");
        assert_eq!(dashboard.safety_lines(80).len(), 1);
        dashboard.take_answer(answer(&name, NOW + 1.0, late()));
        dashboard.take_safe_record(&folder, &Log { safe: Some(NOW - 9.0), ..Log::default() });
        assert!(dashboard.safety_lines(80)[0].1.contains("NOT SAFE"));
        dashboard.take_safe_record(&folder, &Log { safe: Some(NOW + 2.0), ..Log::default() });
        assert!(dashboard.safety_lines(80)[0].1.starts_with(" SAFE"), "it was ended, and closed its record safely");
    }

    #[test]
    fn nobody_is_told_to_end_what_is_gone_and_many_runs_leave_the_page_in_sight() {
        let mut dashboard = dashboard("died");
        assert_eq!(dashboard.targets().len(), 1, "it is asked, so that it is said");
        let folder = dashboard.run.as_ref().unwrap().folder.display().to_string();
        let gone = Answer { holder: Holder::Gone(4711), ..answer(&folder, NOW, Err("nobody listens".into())) };
        dashboard.take_answer(gone);
        let text = picture(&dashboard, (120, 24));
        assert!(text.contains("Its process 4711 is gone: pnnlab safe") && !text.contains("kill"), "{text}");
        for run in 0..9 {
            dashboard.take_answer(answer(&format!("runs/{run}"), NOW, late()));
        }
        let lines = dashboard.safety_lines(100);
        assert!(lines.len() <= ROWS && lines[lines.len() - 1].1.contains("more runs"), "{lines:?}");
        assert!(picture(&dashboard, (20, 5)).contains("NOT SAFE"), "on the smallest terminal as well");
    }

    #[test]
    fn other_answers_are_said_for_a_while() {
        let mut dashboard = dashboard("normal");
        let folder = dashboard.run.as_ref().unwrap().folder.clone();
        let name = folder.display().to_string();
        dashboard.take_answer(Answer { request: Request::Pause, ..answer(&name, NOW, SAFE) });
        assert!(picture(&dashboard, SMALL).contains("it is paused; p goes on"));
        dashboard.take_answer(answer(&name, NOW, SAFE));
        assert!(picture(&dashboard, SMALL).contains("paused (p goes on)"));
        // The step goes on until its end; the next key counts on the pause all the same.
        assert!(picture(&dashboard, SMALL).contains("PAUSING live"));
        assert_eq!(type_keys(&mut dashboard, "p"), [Effect::Ask(Request::Resume)]);
        let resumed = Ok(Reply::Done { state: RunState::Running });
        dashboard.take_answer(Answer { request: Request::Resume, ..answer(&name, NOW, resumed) });
        assert!(picture(&dashboard, SMALL).contains("it goes on"));
        dashboard.ask_safe(NOW, std::slice::from_ref(&folder));
        assert!(!picture(&dashboard, SMALL).contains("it goes on"), "it was asked to be safe since");
        dashboard.take_answer(answer(&name, NOW, SAFE));
        dashboard.take_status(Status { state: RunState::Paused, why: "by an alarm".into(), ..status(NOW) });
        let text = picture(&dashboard, SMALL);
        assert!(text.contains("PAUSED live") && text.contains("Paused by an alarm - p goes on"), "{text}");
        dashboard.take_status(status(NOW));
        assert!(picture(&dashboard, SMALL).contains("RUNNING live"), "what somebody else does is seen");
        dashboard.now += 60.0;
        assert_eq!(dashboard.notice(), None, "it does not stay");
        dashboard.take_connection(Connection::Over);
        dashboard.ask_safe(NOW, &[]);
        let said = |dashboard: &Dashboard| dashboard.notice().map(|notice| notice.text.clone()).unwrap_or_default();
        assert!(said(&dashboard).contains("without making its plants safe"));
        let ended = Log { ends_safe: true, ..Log::default() };
        dashboard.run.as_mut().unwrap().log = std::sync::Arc::new(ended);
        dashboard.ask_safe(NOW, &[]);
        assert!(said(&dashboard).contains("its plants were made safe at its end"));
        dashboard.close();
        dashboard.ask_safe(NOW, &[]);
        assert!(said(&dashboard).contains("nothing to make safe"));
    }
}

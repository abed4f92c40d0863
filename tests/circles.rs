//! No circle of files: a file that uses another is not used by it, directly or through others.
//!
//! What a file uses is read from its paths (`crate::…`, `super::…`, and those that begin at a module in scope), each followed
//! through re-exports to the file that defines the name. A module by itself is not a use, nor is a re-export of what the file
//! itself does not name otherwise; tests are left out. Two files may use each other where both say why, and a file and those of
//! its own folder where the file says why:
//!
//! ```text
//! // Circle with electrical/kernel.rs: why neither can do without the other
//! // Circle with network/: why it cannot do without them
//! ```

mod files;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use files::{Arrows, Files};

impl Files {
    /// The circles, the shortest through each file, but for those through two files of which `may` says that they may use each other.
    fn circles(&self, arrows: &Arrows, may: &dyn Fn(&str, &str) -> bool) -> Vec<String> {
        let path = |file: usize| self.0[file].path.as_str();
        let next = |file: usize| {
            arrows[file]
                .keys()
                .copied()
                .filter(move |other| !(may(path(file), path(*other)) || may(path(*other), path(file))))
        };
        let mut found = BTreeMap::new();
        for first in 0..self.0.len() {
            let mut before = BTreeMap::new();
            let mut queue = VecDeque::from([first]);
            while let Some(file) = queue.pop_front().filter(|_| !before.contains_key(&first)) {
                for other in next(file) {
                    before.entry(other).or_insert_with(|| {
                        queue.push_back(other);
                        file
                    });
                }
            }
            if !before.contains_key(&first) {
                continue;
            }
            let (mut circle, mut words) = (BTreeSet::from([first]), path(first).to_owned());
            let mut file = first;
            loop {
                let user = before[&file];
                let names: Vec<&str> = arrows[user][&file].iter().map(String::as_str).collect();
                words = format!("{} uses {} of {words}", path(user), names.join(", "));
                circle.insert(user);
                file = user;
                if file == first {
                    break;
                }
            }
            found.entry(circle).or_insert(words);
        }
        found.into_values().collect()
    }

    /// What is wrong with the circles of a crate: those that nobody allows, and what allows one that is not there. Allowed are
    /// those that both files give a reason for, and those of a file with its own folder that the file gives a reason for.
    fn complaints(&self) -> Vec<String> {
        let arrows = self.arrows();
        let says = |one: &str, other: &str| {
            self.0.iter().any(|file| file.path == one && file.allowed.iter().any(|allowed| allowed == other))
        };
        let mut pairs: Vec<(&str, &str)> = vec![];
        let mut wrong = vec![];
        for file in &self.0 {
            for other in &file.allowed {
                if other.strip_suffix('/').is_some_and(|folder| file.path.strip_suffix(".rs") == Some(folder)) {
                    pairs.push((&file.path, other));
                } else if !says(other, &file.path) {
                    wrong.push(format!(
                        "{} speaks of a circle with {other}, which does not: both give a reason",
                        file.path
                    ));
                } else if file.path < *other {
                    pairs.push((&file.path, other));
                }
            }
        }
        let fits = |name: &str, path: &str| name == path || name.ends_with('/') && path.starts_with(name);
        let may = |pairs: &[(&str, &str)], one: &str, other: &str| {
            pairs.iter().any(|(first, second)| fits(first, one) && fits(second, other))
        };
        let circles = self.circles(&arrows, &|one, other| may(&pairs, one, other));
        wrong.extend(circles.into_iter().map(|circle| {
            format!("a circle: {circle}. Move what both need to a file of its own, or pass it as an argument")
        }));
        for (index, (one, other)) in pairs.iter().enumerate() {
            let others = [&pairs[..index], &pairs[index + 1..]].concat();
            if self.circles(&arrows, &|one, other| may(&others, one, other)).is_empty() {
                wrong.push(format!("there is no circle any more between {one} and {other}: strike it"));
            }
        }
        wrong
    }
}

#[test]
fn no_circle_of_files_is_without_a_reason() {
    for source in ["drivers/src", "sims/src", "calibration/src", "hil/src", "src"] {
        let files = Files::of_crate(source);
        assert!(files.0.len() > 20, "{source}: the files are found");
        let wrong = files.complaints();
        assert!(wrong.is_empty(), "{source}:\n{}", wrong.join("\n"));
    }
}

/// What is wrong with the circles of a crate of these files.
fn complaints(files: &[(&str, &str)]) -> Vec<String> {
    let text = |path: &str| files.iter().find(|(name, _)| *name == path).map_or("", |(_, text)| text).to_owned();
    Files::of(&text).complaints()
}

const LIB: (&str, &str) = ("lib.rs", "mod a;\nmod b;\npub mod c;\npub use b::{B as Renamed, Other};\npub use a::A;");

#[test]
fn circles_are_found_through_others_and_through_re_exports() {
    let a = ("a.rs", "use crate::{Renamed, c::d};\npub struct A(Renamed, d::D);");
    let b = ("b.rs", "use super::c;\npub struct B(c::C);\npub struct Other;");
    let c = ("c.rs", "pub mod d;\npub struct C(crate::A);");
    let d = ("c/d.rs", "pub struct D;\nimpl D { fn d(self) { let D = self; } }");
    let circle = "a circle: a.rs uses B of b.rs uses C of c.rs uses A of a.rs";
    let found = complaints(&[LIB, a, b, c, d]);
    assert!(found.len() == 1 && found[0].starts_with(circle), "{found:?}");
    // A path that leads nowhere else.
    let c =
        ("c.rs", "pub mod d;\nuse std::fmt;\npub struct C;\nfn f(f: fmt::Result) -> d::D { c::A::b(\"crate::A\") }");
    assert_eq!(complaints(&[LIB, a, b, c, d]), [""; 0]);
    // A child that uses its parent, of which the parent uses a name and not only shows it.
    let d = ("c/d.rs", "use super::*;\npub struct D(C);");
    assert_eq!(complaints(&[LIB, a, b, c, d]).len(), 1);
    let shown = ("c.rs", "pub mod d;\npub use d::D;\npub struct C;");
    assert_eq!(complaints(&[LIB, a, b, shown, d]), [""; 0]);
}

#[test]
fn tests_comments_and_texts_use_nothing() {
    let a = ("a.rs", "pub struct A(crate::b::B<'static>);");
    let quiet = r##"
        //! [`crate::A`]
        /* crate::A /* */ crate::A */
        pub struct B<'a>(&'a str);
        const C: [char; 3] = ['"', '\'', '{'];
        const T: [&str; 3] = ["\" crate::A", r#"" crate::A"#, "{"];
        const B: [&[u8]; 2] = [b"\"{", br"crate::A\"];
        #[cfg(test)]
        mod tests { use crate::A; fn f() { { crate::A } } }
        #[cfg(all(test, unix))]
        use crate::{A, c};
        #[cfg(test)]
        fn f() -> Option<crate::A> { None }
        pub struct Other;
    "##;
    assert_eq!(complaints(&[LIB, a, ("b.rs", quiet)]), [""; 0]);
    let loud = format!("{quiet} #[cfg(not(test))] fn g() -> crate::A {{ f() }}");
    assert_eq!(complaints(&[LIB, a, ("b.rs", &loud)]).len(), 1);
}

#[test]
fn a_circle_needs_a_reason_on_both_sides_and_a_reason_a_circle() {
    let a = "use crate::b::B;\npub struct A(Option<Box<B>>);";
    let b = "pub struct B(crate::A);\npub struct Other;";
    let wrong = |a: &str, b: &str| complaints(&[LIB, ("a.rs", a), ("b.rs", b)]);
    let [why_a, why_b] = ["b.rs", "a.rs"].map(|other| format!("// Circle with {other}: they are two halves.\n"));
    assert!(wrong(&format!("{why_a}{a}"), b).iter().any(|wrong| wrong.contains("both give a reason")));
    assert_eq!(wrong(&format!("{why_a}{a}"), &format!("{why_b}{b}")), [""; 0]);
    assert_eq!(wrong(&format!("// Circle with b.rs: \n{a}"), &format!("{why_b}{b}")).len(), 2);
    let gone = wrong(&format!("{why_a}{a}"), &format!("{why_b}pub struct B;\npub struct Other;"));
    assert!(gone[0].contains("strike it"), "{gone:?}");
    // A file says it for all in its own folder, and for no other folder.
    let (c, d) = ("pub mod d;\npub struct C(d::D);", "pub struct D(Option<Box<super::C>>);");
    let of_folder = |folder: &str| {
        let c = format!("// Circle with {folder}/: a list and what is in it.\n{c}");
        complaints(&[
            LIB,
            ("a.rs", "pub struct A;"),
            ("b.rs", "pub struct B;\npub struct Other;"),
            ("c.rs", &c),
            ("c/d.rs", d),
        ])
    };
    assert_eq!(of_folder("c"), [""; 0]);
    assert!(!of_folder("e").is_empty());
}

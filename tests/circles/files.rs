//! The files of a crate, and what each of them uses, as far as its text tells.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A file of a crate, read as far as circles need it.
#[derive(Default)]
pub struct File {
    /// Below `src/`.
    pub path: String,
    /// The names from the crate's root to this module.
    module: Vec<String>,
    tokens: Vec<String>,
    /// Modules in files of their own.
    children: BTreeMap<String, usize>,
    defined: BTreeSet<String>,
    macros: BTreeSet<String>,
    /// Names in scope by `use`, with the paths that they stand for.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// The paths in the code.
    paths: Vec<Vec<String>>,
    /// The files that it may be in a circle with, as it says itself.
    pub allowed: BTreeSet<String>,
}

/// For each file those that it uses, with the names.
pub type Arrows = Vec<BTreeMap<usize, BTreeSet<String>>>;

/// The words and marks of a Rust file, without comments, texts and letters.
fn tokens(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let (mut at, mut tokens) = (0, vec![]);
    let next = |at: usize| letters.get(at).copied().unwrap_or(' ');
    while at < letters.len() {
        let hashes = letters[at + 1..].iter().take_while(|letter| **letter == '#').count();
        match letters[at] {
            '/' if next(at + 1) == '/' => at += letters[at..].iter().take_while(|letter| **letter != '\n').count(),
            '/' if next(at + 1) == '*' => {
                let mut depth = 0;
                loop {
                    let (change, length) = match (letters[at], next(at + 1)) {
                        ('/', '*') => (1, 2),
                        ('*', '/') => (-1, 2),
                        _ => (0, 1),
                    };
                    (depth, at) = (depth + change, at + length);
                    if depth == 0 {
                        break;
                    }
                }
            }
            '"' => {
                at += 1;
                while next(at) != '"' {
                    at += if next(at) == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            'r' if next(at + 1 + hashes) == '"' => {
                let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                let body = at + 2 + hashes;
                let length = letters[body..].windows(end.len()).position(|window| window == end);
                at = body + length.expect("a text ends") + end.len();
            }
            '\'' if next(at + 1) == '\\' => {
                at += 3 + letters[at + 3..].iter().take_while(|letter| **letter != '\'').count() + 1;
            }
            '\'' if next(at + 2) == '\'' => at += 3,
            ':' if next(at + 1) == ':' => {
                tokens.push("::".to_owned());
                at += 2;
            }
            // The letter before a text of bytes.
            'b' if ['"', '\''].contains(&next(at + 1)) || next(at + 1) == 'r' && ['"', '#'].contains(&next(at + 2)) => {
                at += 1;
            }
            letter if word(letter) => {
                let name: String = letters[at..].iter().take_while(|letter| word(**letter)).collect();
                at += name.chars().count();
                tokens.push(name);
            }
            letter => {
                if !letter.is_whitespace() {
                    tokens.push(letter.to_string());
                }
                at += 1;
            }
        }
    }
    tokens
}

/// Where what begins at `at` ends: behind its `;`, or behind the brace that closes its first.
fn end_of_item(tokens: &[String], at: usize) -> usize {
    let is_use = tokens[at..].iter().take(5).any(|token| token == "use");
    let mut depth = 0;
    for (end, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth < 0 {
                    return end;
                }
                if depth == 0 && token == "}" && !is_use {
                    return end + 1;
                }
            }
            ";" | "," if depth == 0 => return end + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The tokens without what `#[cfg(test)]` stands before.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let (mut at, mut kept) = (0, vec![]);
    while at < tokens.len() {
        if tokens[at..].starts_with(&["#", "[", "cfg", "("].map(str::to_owned)) {
            let end = at + tokens[at..].iter().position(|token| token == "]").expect("an attribute ends");
            let condition = &tokens[at..end];
            if condition.contains(&"test".to_owned()) && !condition.contains(&"not".to_owned()) {
                at = end_of_item(tokens, end + 1);
                continue;
            }
        }
        kept.push(tokens[at].clone());
        at += 1;
    }
    kept
}

/// The paths of a `use`, each with the name that it brings into scope: `*` for all names.
fn leaves(tokens: &[String], before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let (mut path, mut name, mut at) = (before.to_vec(), None, 0);
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => {
                let (mut depth, mut begin) = (0, at + 1);
                for end in at..tokens.len() {
                    match tokens[end].as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || depth == 1 && tokens[end] == "," {
                        leaves(&tokens[begin..end], &path, found);
                        begin = end + 1;
                    }
                }
                return;
            }
            "as" => name = tokens.get(at + 1).cloned(),
            "self" if !path.is_empty() => {}
            "::" => {}
            _ if name.is_none() => path.push(tokens[at].clone()),
            _ => {}
        }
        at += 1;
    }
    if path.len() > before.len() || tokens.first().is_some_and(|token| token == "self") {
        found.push((name.or_else(|| path.last().cloned()).unwrap_or_default(), path));
    }
}

impl File {
    fn read(path: &str, module: &[String], text: &str) -> Self {
        let allowed = text.lines().filter_map(|line| line.strip_prefix("// Circle with ")?.split_once(": "));
        let allowed = allowed.filter(|(_, why)| !why.trim().is_empty()).map(|(other, _)| other.to_owned()).collect();
        let tokens = without_tests(&tokens(text));
        let mut file = Self { path: path.to_owned(), module: module.to_vec(), tokens, allowed, ..Self::default() };
        let (mut depth, mut at, mut reexports) = (0, 0, vec![]);
        let mut words = BTreeSet::new();
        while at < file.tokens.len() {
            let next = |ahead: usize| file.tokens.get(at + ahead).map_or("", String::as_str);
            let last = if at == 0 { "" } else { file.tokens[at - 1].as_str() };
            match next(0) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "use" if last != "+" && next(1) != "<" => {
                    let end = at + file.tokens[at..].iter().position(|token| token == ";").expect("a use ends");
                    let mut found = vec![];
                    leaves(&file.tokens[at + 1..end], &[], &mut found);
                    let exports = last == "pub" || last == ")";
                    for (name, path) in found {
                        if exports {
                            reexports.push((name.clone(), path.clone()));
                        } else {
                            file.paths.push(path.clone());
                        }
                        if name == "*" {
                            file.globs.push(path[..path.len() - 1].to_vec());
                        } else if depth == 0 {
                            file.imports.insert(name, path);
                        }
                    }
                    at = end;
                }
                "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static" | "mod" if depth == 0 => {
                    file.defined.insert(next(1).to_owned());
                }
                // In a macro, which is used where it stands.
                "struct" | "enum" | "trait" if last == "pub" || last == ")" => {
                    file.defined.insert(next(1).to_owned());
                }
                "macro_rules" => {
                    file.macros.insert(next(2).to_owned());
                }
                _ if last != "::" && last != "." && next(1) == "::" => {
                    let mut path = vec![next(0).to_owned()];
                    while next(path.len() * 2 - 1) == "::" && next(path.len() * 2) != "<" {
                        path.push(next(path.len() * 2).to_owned());
                    }
                    words.insert(path[0].clone());
                    file.paths.push(path);
                }
                other if last != "::" && last != "." => {
                    words.insert(other.to_owned());
                }
                _ => {}
            }
            at += 1;
        }
        file.paths.extend(reexports.into_iter().filter(|(name, _)| words.contains(name)).map(|(_, path)| path));
        file
    }
}

/// What a path leads to.
enum End {
    Module(usize),
    /// A name, and the file that defines it.
    Name(usize, String),
}

/// The files of a crate.
pub struct Files(pub Vec<File>);

impl Files {
    /// Those that the modules name, from `lib.rs` on; `text` is what a file holds.
    pub fn of(text: &dyn Fn(&str) -> String) -> Self {
        let mut files = Self(vec![]);
        files.add(text, "lib.rs", &[]);
        files
    }

    /// Those of the crate in a folder of the project.
    pub fn of_crate(source: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        Self::of(&|path| std::fs::read_to_string(source.join(path)).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    fn add(&mut self, text: &dyn Fn(&str) -> String, path: &str, module: &[String]) -> usize {
        let file = File::read(path, module, &text(path));
        let own = self.0.len();
        let modules: Vec<String> = file
            .tokens
            .windows(3)
            .filter(|window| window[0] == "mod" && window[2] == ";")
            .map(|window| window[1].clone())
            .collect();
        self.0.push(file);
        for name in modules {
            let module = [module, std::slice::from_ref(&name)].concat();
            let child = self.add(text, &format!("{}.rs", module.join("/")), &module);
            self.0[own].children.insert(name, child);
        }
        own
    }

    /// Where a path in a file leads, over at most so many re-exports; nowhere where it leads out of the crate.
    fn follow(&self, from: usize, path: &[String], steps: usize) -> Option<End> {
        let above = |module: &[String]| self.0.iter().position(|file| file.module == module);
        let (mut at, mut rest) = match path[0].as_str() {
            "crate" => (0, &path[1..]),
            "self" | "super" => (from, path),
            first if self.0[from].children.contains_key(first) || self.0[from].imports.contains_key(first) => {
                (from, path)
            }
            _ => return None,
        };
        while let Some((first, others)) = rest.split_first() {
            let file = &self.0[at];
            match first.as_str() {
                "self" => {}
                "super" => at = above(file.module.split_last()?.1)?,
                name => match self.named(at, name, steps)? {
                    End::Module(module) => at = module,
                    end @ End::Name(..) => return Some(end),
                },
            }
            rest = others;
        }
        Some(End::Module(at))
    }

    /// What a name in a module stands for.
    fn named(&self, at: usize, name: &str, steps: usize) -> Option<End> {
        let (file, steps) = (&self.0[at], steps.checked_sub(1)?);
        if let Some(child) = file.children.get(name) {
            Some(End::Module(*child))
        } else if file.defined.contains(name) {
            Some(End::Name(at, name.to_owned()))
        } else if let Some(path) = file.imports.get(name) {
            // A name that stands for itself is a macro of the file, brought out of it.
            if path[..] == [name] { Some(End::Name(at, name.to_owned())) } else { self.follow(at, path, steps) }
        } else {
            let mut through = file.globs.iter().filter_map(|glob| match self.follow(at, glob, steps)? {
                End::Module(module) => self.named(module, name, steps),
                End::Name(..) => None,
            });
            // Macros that are exported are at the root, wherever they are defined.
            let is_macro = |file: &File| at == 0 && file.macros.contains(name);
            through.next().or_else(|| self.0.iter().position(is_macro).map(|at| End::Name(at, name.to_owned())))
        }
    }

    /// What each file uses.
    pub fn arrows(&self) -> Arrows {
        let mut all = vec![];
        for (own, file) in self.0.iter().enumerate() {
            let mut arrows = BTreeMap::<usize, BTreeSet<String>>::new();
            for path in &file.paths {
                let (last, module) = path.split_last().expect("a path has names");
                let (end, name) = match self.follow(own, if last == "*" { module } else { path }, 20) {
                    Some(End::Name(end, name)) => (end, name),
                    Some(End::Module(end)) if last == "*" => (end, last.clone()),
                    None if ["crate", "super"].contains(&path[0].as_str()) => {
                        panic!("{}: where is {} defined?", file.path, path.join("::"))
                    }
                    _ => continue,
                };
                if end != own {
                    arrows.entry(end).or_default().insert(name);
                }
            }
            all.push(arrows);
        }
        all
    }
}

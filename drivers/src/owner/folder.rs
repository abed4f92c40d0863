//! The folder of the owners' locks, and files in it that nobody else can have put there.
//!
//! ```text
//! $PNNLAB_RUNTIME_DIR          where it is set: for tests, and for services with a folder of their own
//! /var/lib/pnnlab              one for all users of this machine, where an administrator has made it (docs/locks.md)
//! $XDG_RUNTIME_DIR/pnnlab      the user's own runtime folder
//! /run/user/UID/pnnlab         the same, where the variable is lost (cron, sudo)
//! /tmp/pnnlab-UID              where there is none (containers, macOS); `TMPDIR` is not asked, so that all find the same
//! ```
//!
//! Each but the second belongs to the user, with mode 0700, and is no link; that is checked each time. Nothing is opened through a
//! link, nothing that is not a plain file is read, and no file is cut by opening it.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{Error as IoError, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, OFlags, access};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::Error;

/// Names another folder.
const VARIABLE: &str = "PNNLAB_RUNTIME_DIR";
/// The folder that an administrator may make.
const SHARED: &str = "/var/lib/pnnlab";
/// No file of ours is longer.
const LONGEST: u64 = 1 << 20;
/// How often a file may appear and vanish between two calls.
const TRIES: u32 = 8;

/// Where a folder is looked for, in this order.
#[derive(Debug, Clone)]
struct Places {
    named: Option<PathBuf>,
    shared: PathBuf,
    runtime: Vec<PathBuf>,
    last: PathBuf,
    user: u32,
}

impl Places {
    fn of_this_process() -> Self {
        let user = user();
        let path = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let usual = PathBuf::from(format!("/run/user/{user}"));
        Self {
            named: path(VARIABLE),
            shared: PathBuf::from(SHARED),
            runtime: path("XDG_RUNTIME_DIR").into_iter().chain([usual]).collect(),
            last: PathBuf::from(format!("/tmp/pnnlab-{user}")),
            user,
        }
    }

    fn find(&self) -> Result<Folder, Error> {
        if let Some(path) = &self.named {
            // What is wrong with it is said below.
            drop(path.parent().map(std::fs::create_dir_all));
            return self.own(path);
        }
        if let Some(folder) = self.shared()? {
            return Ok(folder);
        }
        let is_own = |path: &&PathBuf| {
            path.is_absolute() && std::fs::symlink_metadata(path).is_ok_and(|found| self.complaint(&found).is_none())
        };
        match self.runtime.iter().find(is_own) {
            Some(path) => self.own(&path.join("pnnlab")),
            None => self.own(&self.last),
        }
    }

    /// The user's own folder at `path`, made where it is missing.
    fn own(&self, path: &Path) -> Result<Folder, Error> {
        let refuse = |message: String| Error::Lock { path: path.to_owned(), message };
        if !path.is_absolute() {
            return Err(refuse("is not a path from the root: write it whole".to_owned()));
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(refuse(error.to_string())),
            _ => {}
        }
        let found = std::fs::symlink_metadata(path).map_err(|error| refuse(error.to_string()))?;
        match self.complaint(&found) {
            None => Ok(Folder { path: path.to_owned(), is_shared: false }),
            Some(complaint) => Err(refuse(format!("{complaint}: remove it, it is made anew"))),
        }
    }

    /// What is wrong with a folder that should be the user's alone.
    fn complaint(&self, found: &Metadata) -> Option<String> {
        match () {
            () if found.is_symlink() => Some("it is a link".to_owned()),
            () if !found.is_dir() => Some("it is no folder".to_owned()),
            () if found.uid() != self.user => {
                Some(format!("it belongs to user {}, not to user {}", found.uid(), self.user))
            }
            () if found.mode() & 0o077 != 0 => {
                Some(format!("others may use it (mode {:o}, not 700)", found.mode() & 0o7777))
            }
            () => None,
        }
    }

    /// The folder that an administrator has made for all users, if there is one.
    fn shared(&self) -> Result<Option<Folder>, Error> {
        let path = &self.shared;
        let refuse = |message: &str| Err(Error::Lock { path: path.clone(), message: message.to_owned() });
        let found = match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return refuse(&error.to_string()),
            Ok(found) => found,
        };
        match () {
            () if !found.is_dir() => refuse("it is no folder"),
            () if found.uid() != 0 => refuse("it does not belong to root: an administrator must make it"),
            () if found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0 => {
                refuse("others may remove locks from it: an administrator must give it the sticky bit, `chmod 3770`")
            }
            () if access(path, Access::WRITE_OK | Access::EXEC_OK).is_err() => refuse(
                "an administrator has made it for a group that this user is not in: ask to be added to that group",
            ),
            () => Ok(Some(Folder { path: path.clone(), is_shared: true })),
        }
    }
}

/// The user that this process acts for.
pub(crate) fn user() -> u32 {
    geteuid().as_raw()
}

/// The folder, found and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Whether other users have locks in it as well.
    is_shared: bool,
}

impl Folder {
    /// The folder of this process.
    ///
    /// Fails where there is none that is safe from other users.
    pub fn find() -> Result<Self, Error> {
        Places::of_this_process().find()
    }

    /// A folder for a test.
    #[cfg(test)]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), is_shared: false }
    }

    /// Whether other users have locks in it as well.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The names of the files in it.
    pub fn names(&self) -> std::io::Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path)?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// Opens the file called `name` to read and write; none where there is none.
    pub fn open(&self, name: &str) -> std::io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        match self.opened(&mut options, name) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        }
    }

    /// The same, made where it is missing.
    pub fn open_or_make(&self, name: &str) -> std::io::Result<File> {
        for _ in 0..TRIES {
            // Not made over one that is there: in a shared folder the system lets nobody do that to another user's file.
            if let Some(file) = self.open(name)? {
                return Ok(file);
            }
            match self.make(name) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made,
            }
        }
        Err(IoError::other("it comes and goes"))
    }

    /// Makes a file that must not be there yet.
    pub fn make(&self, name: &str) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = self.opened(&mut options, name)?;
        if self.is_shared {
            // The group of the folder, whatever the mask of this process.
            file.set_permissions(Permissions::from_mode(0o660))?;
        }
        Ok(file)
    }

    /// What the file called `name` says; none where there is none.
    pub fn read(&self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        match self.opened(OpenOptions::new().read(true), name) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            file => read(&file?).map(Some),
        }
    }

    /// Opens it, and refuses what is no plain file of somebody who may write here.
    fn opened(&self, options: &mut OpenOptions, name: &str) -> std::io::Result<File> {
        // A FIFO would keep its opener waiting, a link may lead anywhere.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = options.custom_flags(flags.bits() as i32).open(self.file(name)).map_err(|error| {
            if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
                IoError::other("it is a link")
            } else {
                error
            }
        })?;
        let found = file.metadata()?;
        let complaint = match () {
            () if !found.is_file() => "it is no plain file",
            () if found.nlink() != 1 => "it has another name elsewhere",
            () if !self.is_shared && found.uid() != user() => "it belongs to another user",
            () => return Ok(file),
        };
        Err(IoError::other(complaint))
    }
}

/// All of a file of ours, from its beginning.
pub(crate) fn read(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut from_start = file;
    std::io::Seek::rewind(&mut from_start)?;
    from_start.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if LONGEST < bytes.len() as u64 {
        return Err(IoError::other(format!("it has more than {LONGEST} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn places(root: &Path) -> Places {
        Places {
            named: None,
            shared: root.join("shared"),
            runtime: vec![root.join("run"), root.join("usual")],
            last: root.join("last"),
            user: user(),
        }
    }

    fn complaint(places: &Places) -> String {
        places.find().unwrap_err().to_string()
    }

    #[test]
    fn the_users_runtime_folder_is_taken_and_else_one_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        assert_eq!(places.find().unwrap().path, root.path().join("last"));
        assert_eq!(std::fs::metadata(root.path().join("last")).unwrap().mode() & 0o7777, 0o700);
        for name in ["usual", "run"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
            mode(&root.path().join(name), 0o700);
            assert_eq!(places.find().unwrap().path, root.path().join(name).join("pnnlab"));
        }
        // Whose it is not, or who lets others in, is passed over.
        mode(&root.path().join("run"), 0o770);
        assert_eq!(places.find().unwrap().path, root.path().join("usual/pnnlab"));
        let named = Places { named: Some(root.path().join("named")), ..places.clone() };
        assert_eq!(named.find().unwrap().path, root.path().join("named"));
        let named = Places { named: Some("relative".into()), ..places };
        assert!(complaint(&named).contains("not a path from the root"));
    }

    #[test]
    fn a_folder_that_others_can_change_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        std::fs::create_dir(root.path().join("elsewhere")).unwrap();
        symlink(root.path().join("elsewhere"), root.path().join("last")).unwrap();
        assert!(complaint(&places).contains("it is a link"), "{}", complaint(&places));
        std::fs::remove_file(root.path().join("last")).unwrap();
        std::fs::create_dir(root.path().join("last")).unwrap();
        mode(&root.path().join("last"), 0o777);
        assert!(complaint(&places).contains("mode 777, not 700"), "{}", complaint(&places));
        mode(&root.path().join("last"), 0o700);
        let stranger = Places { user: user() + 1, ..places.clone() };
        assert!(complaint(&stranger).contains("it belongs to user"), "{}", complaint(&stranger));
        std::fs::remove_dir(root.path().join("last")).unwrap();
        std::fs::write(root.path().join("last"), "").unwrap();
        assert!(complaint(&places).contains("it is no folder"), "{}", complaint(&places));
    }

    #[test]
    fn a_folder_for_all_users_is_made_by_root_and_has_the_sticky_bit() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let shared = root.path().join("shared");
        std::fs::create_dir(&shared).unwrap();
        if user() != 0 {
            assert!(complaint(&places).contains("does not belong to root"), "{}", complaint(&places));
            return;
        }
        mode(&shared, 0o2770);
        assert!(complaint(&places).contains("the sticky bit"), "{}", complaint(&places));
        mode(&shared, 0o3770);
        let folder = places.find().unwrap();
        assert!(folder.is_shared() && folder.path == shared);
        let made = folder.open_or_make("a.lock").unwrap().metadata().unwrap();
        assert_eq!(made.mode() & 0o777, 0o660, "the group may lock");
    }

    #[test]
    fn links_pipes_and_long_files_are_not_opened() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path());
        assert!(folder.open("a").unwrap().is_none() && folder.read("a").unwrap().is_none());
        assert_eq!(folder.open_or_make("a").unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        std::fs::write(folder.file("victim"), "kept").unwrap();
        symlink(folder.file("victim"), folder.file("link")).unwrap();
        std::fs::hard_link(folder.file("victim"), folder.file("twice")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.file("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        for (name, words) in [("link", "it is a link"), ("twice", "another name"), ("pipe", "no plain file")] {
            for error in [folder.open_or_make(name).unwrap_err(), folder.read(name).unwrap_err()] {
                assert!(error.to_string().contains(words), "{name}: {error}");
            }
        }
        assert_eq!(std::fs::read_to_string(folder.file("victim")).unwrap(), "kept");
        std::fs::File::create(folder.file("long")).unwrap().set_len(1 << 40).unwrap();
        assert!(folder.read("long").unwrap_err().to_string().contains("more than"));
    }
}

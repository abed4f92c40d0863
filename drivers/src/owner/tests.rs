//! Who may take an instrument, and what is known of who has it.

use super::*;

/// An address that no other test has.
fn address(name: &str) -> Address {
    Address::Tcp { host: format!("{name}-{}.invalid", std::process::id()), port: 5025 }
}

fn lock_path(address: &Address) -> PathBuf {
    Folder::find().unwrap().file(&file_name(&names::names(address)[0]))
}

#[test]
fn the_second_is_told_who_holds_the_instrument() {
    let address = address("second");
    assert_eq!(holder(&address).unwrap(), None);
    let mut first = Owned::take("scope", &address).unwrap().unwrap();
    let error = Owned::take("other", &address).unwrap_err();
    assert!(!error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("`other`") && text.contains(&format!("process {}", std::process::id())), "{text}");
    assert!(text.contains("as its instrument `scope`"), "the one of this process is named: {text}");
    first.announce(Path::new("runs/a/control.sock"));
    assert_eq!(holder(&address).unwrap().unwrap().control.unwrap(), Path::new("runs/a/control.sock"));
    drop(first);
    assert_eq!(holder(&address).unwrap(), None);
    assert!(Owned::take("scope", &address).unwrap().is_some());
    assert!(Owned::take("replay", &Address::Replay { path: "x".into() }).unwrap().is_none());
}

#[test]
fn one_instrument_by_two_spellings_has_one_owner() {
    // While somebody listens there, no other test has that port.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let here = |host: &str| Address::Tcp { host: host.into(), port };
    let _first = Owned::take("scope", &here("127.0.0.1")).unwrap().unwrap();
    for host in ["localhost", "::1", "0.0.0.0", "127.1"] {
        assert!(matches!(Owned::take("scope", &here(host)), Err(Error::Owned { .. })), "{host}");
        assert_eq!(holder(&here(host)).unwrap().unwrap().process, std::process::id(), "{host}");
        assert!(is_same_instrument(&here(host), &here("127.0.0.1")), "{host}");
    }
    assert!(!is_same_instrument(&here("127.0.0.1"), &here("127.0.0.2")));
}

#[test]
fn one_instrument_by_two_addresses_is_found_out_by_its_serial_number() {
    let serial = format!("MY{}", std::process::id());
    let take = |bench: &str, name: &str| {
        let options = LinkOptions { bench: bench.into(), ..LinkOptions::new(name, address(name)) };
        Owned::of(&options).unwrap().unwrap()
    };
    let mut first = take("a", "number-1");
    first.claim("Acme", "GEN", &serial).unwrap();
    first.claim("Acme", "GEN", &serial).unwrap();
    assert!(first.is_alone());
    let mut other = take("b", "number-2");
    let text = other.claim("Acme", "GEN", &serial).unwrap_err().to_string();
    assert!(text.contains("by another address") && text.contains(&serial) && text.contains("`number-1`"), "{text}");
    // Two connections of one bench may lead to one box; and one that has no number is nobody else's.
    let mut beside = take("a", "number-3");
    beside.claim("Acme", "GEN", &serial).unwrap();
    assert!(!first.is_alone() && !beside.is_alone());
    other.claim("Acme", "GEN", "0").unwrap();
    drop((first, beside));
    other.claim("Acme", "GEN", &serial).unwrap();
}

#[test]
fn a_lock_whose_file_is_emptied_or_lies_is_held_by_who_the_kernel_says() {
    let address = address("emptied");
    let _first = Owned::take("scope", &address).unwrap().unwrap();
    let path = lock_path(&address);
    let own = std::process::id();
    let lie = r#"{"process": 1, "command": "innocent", "since_unix_seconds": 0, "control": "/tmp/evil"}"#;
    for text in ["", "nonsense", lie] {
        std::fs::write(&path, text).unwrap();
        let found = holder(&address).unwrap().unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!((found.process, found.control), (own, None), "{text}");
        }
        assert!(matches!(Owned::take("scope", &address), Err(Error::Owned { .. })), "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_lock_whose_file_is_deleted_is_still_held() {
    let address = address("deleted");
    let _first = Owned::take("scope", &address).unwrap().unwrap();
    std::fs::remove_file(lock_path(&address)).unwrap();
    assert_eq!(holder(&address).unwrap().unwrap().process, std::process::id());
    let text = Owned::take("other", &address).unwrap_err().to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
}

#[test]
fn a_lock_that_is_a_link_is_not_followed_and_cannot_be_looked_up() {
    let address = address("link");
    let path = lock_path(&address);
    let victim = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(victim.path(), "kept").unwrap();
    std::os::unix::fs::symlink(victim.path(), &path).unwrap();
    for error in [Owned::take("scope", &address).unwrap_err(), holder(&address).unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains("it is a link") && text.contains(&path.display().to_string()), "{text}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(std::fs::read_to_string(victim.path()).unwrap(), "kept");
}

//! Places where a test build can be made to die or to do wrong. A released build has no code for them.
//!
//! `FANOUT_FAILPOINT=place[:n]=abort|panic|sleep` acts, once, when the process reaches the place for the `n`-th time
//! (the first without `n`); `FANOUT_FAILPOINT=fault=plant` switches a mitigation off, to show that its test can fail.

#[cfg(feature = "failpoints")]
pub(crate) use armed::{is_planted, reach};

/// Dies, panics or sleeps here if the process was told to.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn reach(_place: &str) {}

/// Whether the mitigation of `fault` is switched off.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn is_planted(_fault: &str) -> bool {
    false
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::OnceLock;
    use std::thread;
    use std::time::Duration;

    const SETTING: &str = "FANOUT_FAILPOINT";

    const NAP: Duration = Duration::from_secs(5);

    struct Armed {
        place: String,
        nth: u64,
        act: String,
        reached: AtomicU64,
    }

    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let read = || Some(parse(&std::env::var(SETTING).ok()?));
        ARMED.get_or_init(read).as_ref()
    }

    fn parse(text: &str) -> Armed {
        let (at, act) = text.split_once('=').unwrap_or((text, ""));
        let (place, nth) = at.split_once(':').unwrap_or((at, "1"));
        assert!(
            ["abort", "panic", "sleep", "plant"].contains(&act),
            "{SETTING}={text} is not place[:n]=abort|panic|sleep, nor fault=plant"
        );
        Armed {
            place: place.to_owned(),
            nth: nth.parse().expect("n of FANOUT_FAILPOINT is a number"),
            act: act.to_owned(),
            reached: AtomicU64::new(0),
        }
    }

    pub(crate) fn reach(place: &str) {
        let Some(armed) = armed().filter(|armed| armed.place == place) else {
            return;
        };
        if armed.reached.fetch_add(1, Relaxed) + 1 != armed.nth {
            return;
        }
        match armed.act.as_str() {
            "abort" => std::process::abort(),
            "panic" => panic!("told to panic at {place}"),
            "sleep" => thread::sleep(NAP),
            _ => {}
        }
    }

    pub(crate) fn is_planted(fault: &str) -> bool {
        armed().is_some_and(|armed| armed.act == "plant" && armed.place == fault)
    }
}

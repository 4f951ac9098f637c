//! What the measured programs of this folder share: their orders, what they say they used, and a sample to work on.

pub mod sample;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::time::Instant;

use rustix::time::{clock_gettime, ClockId};

/// What a program is asked to do: `name=value` arguments, each read by its name.
#[derive(Debug)]
pub struct Order {
    given: BTreeMap<String, String>,
}

impl Order {
    /// The arguments of this process.
    ///
    /// # Errors
    ///
    /// If one has no `=`.
    pub fn read() -> Result<Self, String> {
        let pairs = std::env::args().skip(1).map(|argument| {
            let pair = argument.split_once('=');
            pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or_else(|| format!("{argument} is not name=value"))
        });
        let given = pairs.collect::<Result<_, _>>()?;
        Ok(Self { given })
    }

    /// The argument `name`.
    ///
    /// # Errors
    ///
    /// If it was not given.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        let given = self.given.get(name).map(String::as_str);
        given.ok_or_else(|| format!("{name}= is missing"))
    }

    /// The argument `name` as a number.
    ///
    /// # Errors
    ///
    /// If it was not given or is none.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|_| format!("{name}={text}: no number"))
    }

    /// `ends=0:333,1:334`: source partition and first offset not to carry.
    ///
    /// # Errors
    ///
    /// If it does not read so.
    pub fn ends(&self) -> Result<BTreeMap<i32, i64>, String> {
        let text = self.text("ends")?;
        text.split(',')
            .map(|pair| {
                let (partition, end) = pair.split_once(':')?;
                Some((partition.parse().ok()?, end.parse().ok()?))
            })
            .collect::<Option<_>>()
            .ok_or_else(|| format!("ends={text}: not partition:offset,…"))
    }
}

/// What this process has used since it began to count.
#[derive(Debug)]
pub struct Usage {
    began: Instant,
    cpu_before: f64,
}

impl Usage {
    /// Counts from now on.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            cpu_before: cpu_s(),
        }
    }

    /// Writes what was used as one line of JSON; `running_s` counts from the first records in hand.
    ///
    /// # Errors
    ///
    /// If stdout or the kernel's account of this process cannot be had.
    pub fn tell(&self, first_records: Instant) -> io::Result<()> {
        let cpu_s = cpu_s() - self.cpu_before;
        let (wall_s, running_s) = (self.began.elapsed(), first_records.elapsed());
        writeln!(
            io::stdout(),
            r#"{{"cpu_s": {cpu_s}, "wall_s": {}, "running_s": {}, "peak_bytes": {}}}"#,
            wall_s.as_secs_f64(),
            running_s.as_secs_f64(),
            peak_bytes()?,
        )
    }
}

/// CPU of all threads so far, user and kernel.
fn cpu_s() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of one process")]
    let seconds = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
    seconds
}

/// Resident memory at its highest.
fn peak_bytes() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other("the kernel tells no VmHWM"))
}

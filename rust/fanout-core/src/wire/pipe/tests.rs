use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::*;

const TIMEOUT: Duration = Duration::from_millis(50);

/// Longer than a busy machine keeps the other side from its turn.
const PATIENT: Duration = Duration::from_secs(60);

/// Both ends of one stream, whose other side is waited for so long.
fn stream(timeout: Duration) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let far = TcpStream::connect(listener.local_addr().expect("its address")).expect("dialled");
    let (near, _) = listener.accept().expect("accepted");
    for end in [&near, &far] {
        end.set_read_timeout(Some(timeout)).expect("set");
        end.set_write_timeout(Some(timeout)).expect("set");
    }
    (near, far)
}

fn some_bytes(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

#[test]
fn bytes_go_from_one_socket_to_another_and_stay_the_same() {
    let ((source, mut feeds), (mut reads, target)) = (stream(PATIENT), stream(PATIENT));
    let sent = some_bytes(300_000);
    let pipe = Pipes::default().lend().expect("a pipe");
    let got = std::thread::scope(|scope| {
        scope.spawn(|| feeds.write_all(&sent).expect("written"));
        let reader = scope.spawn(|| {
            let mut got = vec![0; sent.len()];
            reads.read_exact(&mut got).expect("all of it");
            got
        });
        let mut poured = 0;
        while poured < sent.len() {
            let more = pipe.pour(source.as_fd(), sent.len() - poured);
            poured += more.expect("poured");
        }
        let parked = pipe.last(poured);
        let mut drained = 0;
        while drained < poured {
            let more = parked.drain(target.as_fd(), (drained, false));
            drained += more.expect("drained");
        }
        reader.join().expect("read")
    });
    assert_eq!(got, sent);
}

#[test]
fn a_socket_with_nothing_to_say_is_waited_for_no_longer_than_its_timeout() {
    let (source, _feeds) = stream(TIMEOUT);
    let pipe = Pipes::default().lend().expect("a pipe");
    let began = Instant::now();
    let error = pipe.pour(source.as_fd(), 10).expect_err("nothing came");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(
        began.elapsed() >= TIMEOUT / 2,
        "it would be asked in a circle"
    );
}

#[test]
fn a_socket_that_was_closed_says_so() {
    let (source, feeds) = stream(PATIENT);
    drop(feeds);
    let pipe = Pipes::default().lend().expect("a pipe");
    let error = pipe.pour(source.as_fd(), 10).expect_err("nothing comes");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_full_pipe_takes_nothing_and_is_no_error() {
    let (source, mut feeds) = stream(PATIENT);
    let feeding = std::thread::spawn(move || {
        // Ends when the reader is gone.
        while feeds.write(&[7; 8192]).is_ok() {}
    });
    let pipe = Pipes::default().lend().expect("a pipe");
    let mut poured = 0;
    loop {
        match pipe.pour(source.as_fd(), PIPE_BYTES).expect("poured") {
            0 => break,
            more => poured += more,
        }
    }
    assert!(poured > PIPE_BYTES / 2, "{poured}");
    assert_eq!(pipe.last(poured).read().expect("there"), vec![7; poured]);
    drop(source);
    feeding.join().expect("ends");
}

#[test]
fn what_was_skipped_is_dropped_and_what_was_taken_is_gone() {
    let pipe = Pipes::default().lend().expect("a pipe");
    pipe.park(&some_bytes(200_000)).expect("parked");
    let stretch = |at, len| Parked {
        pipe: pipe.clone(),
        at,
        len,
    };
    let taken = stretch(150_000, 1000).read().expect("there");
    assert_eq!(taken, some_bytes(200_000)[150_000..151_000]);
    let again = stretch(150_000, 1000).read().expect_err("taken before");
    assert_eq!(again.to_string(), "parked bytes are there no more");
    stretch(10, 5).read().expect_err("skipped before");
    stretch(199_000, 1001).read().expect_err("never came");
    stretch(199_000, 1000).read().expect("the last ones");
}

#[test]
fn a_pipe_is_used_again_once_nobody_holds_it_and_it_is_empty() {
    let pipes = Pipes::default();
    let first = pipes.lend().expect("a pipe");
    let is_first = |pipe: &SharedPipe, first: &SharedPipe| Arc::ptr_eq(&pipe.0, &first.0);
    let second = pipes.lend().expect("another");
    assert!(!is_first(&second, &first), "it is held");
    let held = Arc::downgrade(&first.0);
    drop(first);
    let third = pipes.lend().expect("the first");
    assert!(std::ptr::eq(held.as_ptr(), Arc::as_ptr(&third.0)));
    third.park(b"left").expect("parked");
    drop(third);
    let fourth = pipes.lend().expect("a new one");
    assert!(held.upgrade().is_none(), "one with bytes in it is let go");
    assert!(fourth.is_empty());
}

#[test]
fn more_than_a_pipe_holds_is_not_parked() {
    let pipe = Pipes::default().lend().expect("a pipe");
    pipe.park(&[1; 1000]).expect("parked");
    let error = pipe.park(&vec![0; PIPE_BYTES / 2]).expect_err("too long");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn there_are_so_many_pipes_and_no_more() {
    let pipes = Pipes::default();
    let mut lent: Vec<_> = (0..MOST_PIPES).map(|_| pipes.lend()).collect();
    assert!(lent.iter().all(Option::is_some));
    assert!(pipes.clone().lend().is_none());
    lent.pop();
    assert!(pipes.lend().is_some());
}

#[test]
fn a_socket_that_takes_nothing_more_is_waited_for_no_longer_than_its_timeout() {
    let (target, _reads) = stream(TIMEOUT);
    let pipe = Pipes::default().lend().expect("a pipe");
    let error = loop {
        let parked = pipe.park(&some_bytes(100_000)).expect("parked");
        let mut drained = 0;
        let end = loop {
            match parked.drain(target.as_fd(), (drained, true)) {
                Ok(more) => drained += more,
                Err(error) => break Some(error),
            }
            if drained == parked.len() {
                break None;
            }
        };
        if let Some(error) = end {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_system_that_refused_is_not_asked_again() {
    // splice(2) takes nothing from a folder and gives nothing to a file that is appended to.
    let folder = File::open("/").expect("there");
    let path = std::env::temp_dir().join(format!("fanout-appended-{}", std::process::id()));
    let appended = File::options().append(true).create(true).open(&path);
    let appended = appended.expect("a file");
    std::fs::remove_file(&path).expect("made");

    let pipes = Pipes::default();
    let pipe = pipes.lend().expect("a pipe");
    pipe.pour(folder.as_fd(), 10).expect_err("refused");
    assert!(pipes.lend().is_none(), "after a refusal to take");

    let pipes = Pipes::default();
    let parked = pipes.lend().expect("a pipe").park(b"payload");
    let parked = parked.expect("parked");
    parked
        .drain(appended.as_fd(), (0, false))
        .expect_err("refused");
    assert!(pipes.clone().lend().is_none(), "after a refusal to give");
}

#[test]
fn a_connection_that_breaks_is_no_refusal() {
    let pipes = Pipes::default();
    let pipe = pipes.lend().expect("a pipe");
    let (source, feeds) = stream(TIMEOUT);
    pipe.pour(source.as_fd(), 10).expect_err("nothing came");
    drop(feeds);
    pipe.pour(source.as_fd(), 10).expect_err("nothing comes");
    assert!(pipes.lend().is_some());
}

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use plimsoll_durability::{FlushReason, JournalCadence, Load, Mark, Outcome, SyncReason, Watermarks};
use plimsoll_host::WallMs;
use plimsoll_model::{ErrorKind, Level, Lsn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Breaker, Metrics, Position, Reading, RequestOutcome, Server, StoreOp, VOLUMES_MAX};

/// The value of a series, labels in any order; `None` if it is not shown.
fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, rest) = series.split_once('{').unwrap_or((series, "}"));
        let mut has: Vec<&str> = rest.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).collect();
        let mut wants: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        has.sort_unstable();
        wants.sort_unstable();
        (found == name && has == wants).then(|| value.parse().expect("a number"))
    })
}

type Label = (&'static str, &'static str);

const V: Label = ("volume", "s3://b/db");

fn reading() -> Reading {
    let mut marks = Watermarks::starting(Mark { lsn: Lsn(3), at: WallMs(1500) });
    marks.advance(Level::Buffered, Lsn(9), WallMs(2000));
    marks.advance(Level::Journaled, Lsn(7), WallMs(2000));
    let load = Load { commits: 6, bytes: 4096, pages: 2, age: Duration::from_millis(250) };
    Reading { load, marks, cache_hits: 5, cache_misses: 2, hydration: 0.25, setbacks: 3 }
}

#[test]
fn everything_that_is_counted_is_shown_under_its_name() {
    let metrics = Metrics::new();
    let volume = metrics.volume(V.1);
    volume.journal_flush(FlushReason::Backlog, Outcome::Success);
    volume.journal_flush(FlushReason::Shutdown, Outcome::Error);
    volume.journal_synced(JournalCadence::Immediate);
    volume.sync(SyncReason::LoadLine, Outcome::Success, Duration::from_millis(40));
    volume.fenced();
    volume.stranded(11);
    volume.watch_with(|| Breaker::Open);
    volume.read_with(|| Some(reading()));
    metrics.store_request(StoreOp::Create, RequestOutcome::Exists, Duration::from_millis(3));

    let text = metrics.encode();
    let table: &[(&str, &[Label], f64)] = &[
        ("journal_wal_flush_total", &[V, ("reason", "backlog"), ("outcome", "success")], 1.0),
        ("journal_wal_flush_total", &[V, ("reason", "backlog"), ("outcome", "error")], 0.0),
        ("journal_wal_flush_total", &[V, ("reason", "shutdown"), ("outcome", "error")], 1.0),
        ("journal_sync_count_total", &[V, ("policy", "immediate")], 1.0),
        ("journal_sync_count_total", &[V, ("policy", "interval")], 0.0),
        ("journal_sync_count_total", &[V, ("policy", "manual")], 0.0),
        ("sync_total", &[V, ("reason", "load_line"), ("outcome", "success")], 1.0),
        ("sync_seconds_count", &[V], 1.0),
        ("sync_seconds_sum", &[V], 0.04),
        ("sync_seconds_bucket", &[V, ("le", "0.025")], 0.0),
        ("sync_seconds_bucket", &[V, ("le", "0.05")], 1.0),
        ("cache_hits_total", &[V], 5.0),
        ("cache_misses_total", &[V], 2.0),
        ("hydration_ratio", &[V], 0.25),
        ("setbacks", &[V], 3.0),
        ("fences_total", &[V], 1.0),
        ("strandings_total", &[V], 1.0),
        ("stranded_commits_total", &[V], 11.0),
        ("breaker_state", &[V], 2.0),
        ("load_commits", &[V], 6.0),
        ("load_bytes", &[V], 4096.0),
        ("load_pages", &[V], 2.0),
        ("load_age_seconds", &[V], 0.25),
        ("watermark_lsn", &[V, ("level", "buffered")], 9.0),
        ("watermark_lsn", &[V, ("level", "journaled")], 7.0),
        ("watermark_lsn", &[V, ("level", "durable")], 3.0),
        ("watermark_timestamp_seconds", &[V, ("level", "durable")], 1.5),
        ("store_requests_total", &[("op", "create"), ("outcome", "exists")], 1.0),
        ("store_request_seconds_count", &[("op", "create")], 1.0),
    ];
    for (name, labels, expected) in table {
        assert_eq!(value(&text, &format!("plimsoll_{name}"), labels), Some(*expected), "{name} {labels:?}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_reader_shows_which_state_it_reads_and_since_when_that_is_the_newest_for_all_it_knows() {
    let metrics = Metrics::new();
    let volume = metrics.volume(V.1);
    volume.follow_with(|| Some(Position { txid: 12, age: Duration::from_millis(1500) }));
    let text = metrics.encode();
    assert_eq!(value(&text, "plimsoll_read_txid", &[V]), Some(12.0));
    assert_eq!(value(&text, "plimsoll_read_age_seconds", &[V]), Some(1.5));
    drop(volume);
    assert_eq!(value(&metrics.encode(), "plimsoll_read_txid", &[V]), None, "a closed volume is not read");
}

#[test]
fn the_load_is_read_at_each_look() {
    let metrics = Metrics::new();
    let volume = metrics.volume(V.1);
    let (sender, receiver) = std::sync::mpsc::channel();
    let receiver = std::sync::Mutex::new(receiver);
    volume.read_with(move || receiver.lock().unwrap().try_recv().ok());
    for commits in [4, 1, 8] {
        sender.send(Reading { load: Load { commits, ..Load::default() }, ..Reading::default() }).unwrap();
        assert_eq!(value(&metrics.encode(), "plimsoll_load_commits", &[V]), Some(commits as f64));
    }
    assert_eq!(value(&metrics.encode(), "plimsoll_load_commits", &[V]), Some(8.0), "nobody answered");
}

/// A volume that is opened again counts from zero; what is shown goes on.
#[test]
fn what_the_cache_has_counted_is_counted_once_and_over_openings() {
    let metrics = Metrics::new();
    let shown = |metrics: &Metrics| {
        let text = metrics.encode();
        ["plimsoll_cache_hits_total", "plimsoll_cache_misses_total"]
            .map(|name| value(&text, name, &[V]).unwrap() as u64)
    };
    let counted = Arc::new(AtomicU64::new(3));
    for expected in [[[3, 6], [5, 10]], [[9, 18], [11, 22]]] {
        let volume = metrics.volume(V.1);
        let known = Arc::clone(&counted);
        volume.read_with(move || {
            let hits = known.load(Ordering::Relaxed);
            Some(Reading { cache_hits: hits, cache_misses: 2 * hits, ..Reading::default() })
        });
        for expected in expected {
            assert_eq!(shown(&metrics), expected);
            assert_eq!(shown(&metrics), expected, "nothing was read in between");
            counted.fetch_add(2, Ordering::Relaxed);
        }
        counted.store(4, Ordering::Relaxed);
    }
}

#[test]
fn a_time_that_is_not_known_leaves_what_was_shown() {
    let metrics = Metrics::new();
    let volume = metrics.volume(V.1);
    volume.read_with(|| Some(reading()));
    volume.look();
    let unknown = Watermarks::starting(Mark { lsn: Lsn(12), at: WallMs(0) });
    volume.read_with(move || Some(Reading { marks: unknown, ..Reading::default() }));
    let text = metrics.encode();
    let durable = [V, ("level", "durable")];
    assert_eq!(value(&text, "plimsoll_watermark_lsn", &durable), Some(12.0));
    assert_eq!(value(&text, "plimsoll_watermark_timestamp_seconds", &durable), Some(1.5));
    assert_eq!(value(&text, "plimsoll_load_commits", &[V]), Some(0.0));
}

#[test]
fn a_closed_volume_shows_no_load_and_keeps_its_counts() {
    let metrics = Metrics::new();
    let volume = metrics.volume(V.1);
    volume.read_with(|| Some(reading()));
    volume.fenced();
    let clone = volume.clone();
    drop(volume);
    assert_eq!(value(&metrics.encode(), "plimsoll_load_commits", &[V]), Some(6.0));
    drop(clone);
    let text = metrics.encode();
    for line in text.lines().filter(|line| line.contains(V.1)) {
        assert!(line.contains("_total{") || line.contains("sync_seconds"), "{line}");
    }
    assert_eq!(value(&text, "plimsoll_fences_total", &[V]), Some(1.0));

    metrics.volume(V.1).fenced();
    assert_eq!(value(&metrics.encode(), "plimsoll_fences_total", &[V]), Some(2.0));
}

#[test]
fn handles_of_one_name_count_together() {
    let metrics = Metrics::new();
    let (one, two) = (metrics.volume(V.1), metrics.clone().volume(V.1));
    one.stranded(1);
    two.stranded(2);
    assert_eq!(value(&metrics.encode(), "plimsoll_stranded_commits_total", &[V]), Some(3.0));
}

#[test]
fn a_name_cannot_break_out_of_its_label() {
    let metrics = Metrics::new();
    metrics.volume("file:///a\"}\\\nb").fenced();
    let expected = r#"plimsoll_fences_total{volume="file:///a\"}\\\nb"} 1"#;
    let text = metrics.encode();
    assert!(text.lines().any(|line| line == expected), "{text}");
}

#[test]
fn the_number_of_series_is_bounded() {
    let metrics = Metrics::new();
    let mut open: Vec<_> = (0..VOLUMES_MAX).map(|n| metrics.volume(&format!("memory:///{n}"))).collect();
    let rest: Vec<_> = (0..3).map(|n| metrics.volume(&format!("memory:///rest{n}"))).collect();
    for volume in &rest {
        volume.read_with(|| Some(Reading { cache_hits: 1, hydration: 1.0, ..Reading::default() }));
    }
    let text = metrics.encode();
    assert_eq!(value(&text, "plimsoll_cache_hits_total", &[("volume", "other")]), Some(3.0));
    assert_eq!(value(&text, "plimsoll_hydration_ratio", &[("volume", "other")]), None);
    assert!(!text.contains("rest0"));

    drop(open.pop());
    let late = metrics.volume("memory:///late");
    late.stranded(7);
    let text = metrics.encode();
    assert_eq!(value(&text, "plimsoll_stranded_commits_total", &[("volume", "memory:///late")]), Some(7.0));
    assert!(!text.contains(&format!("memory:///{}\"", VOLUMES_MAX - 1)), "the closed one made room");
}

#[test]
fn an_error_kind_is_an_outcome() {
    assert_eq!(RequestOutcome::from(ErrorKind::Unavailable), RequestOutcome::Unavailable);
    assert_eq!(RequestOutcome::from(ErrorKind::Denied), RequestOutcome::Denied);
    assert_eq!(RequestOutcome::from(ErrorKind::Corrupt), RequestOutcome::Error);
}

async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_page_is_served_and_nothing_else() {
    let metrics = Metrics::new();
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), metrics.clone()).await.unwrap();
    let address = server.address().unwrap();
    let task = tokio::spawn(server.run());

    metrics.volume(V.1).fenced();
    let page = ask(address, "GET /metrics").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/openmetrics-text"), "{page}");
    assert_eq!(value(&page.replace('\r', ""), "plimsoll_fences_total", &[V]), Some(1.0));
    assert!(ask(address, "GET /").await.starts_with("HTTP/1.1 404 "));
    assert!(ask(address, "POST /metrics").await.starts_with("HTTP/1.1 405 "));
    assert!(ask(address, "nonsense").await.starts_with("HTTP/1.1 400 "));
    assert!(ask(address, "GET /metrics").await.starts_with("HTTP/1.1 200 "), "bad requests end only themselves");

    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let first = Server::bind("127.0.0.1:0".parse().unwrap(), Metrics::new()).await.unwrap();
    let address = first.address().unwrap();
    let error = Server::bind(address, Metrics::new()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("listening for metrics on {address}: ")), "{error}");
    assert!(error.contains("metrics_listen"), "{error}");
}

//! A proxy between workers and an S3 server, that can be a bad network.

mod fate; // what becomes of one connection

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

pub use fate::{Fate, fate};

/// What it does to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Fair,
    /// Connections are closed at once, also those that were open.
    Refusing,
    /// Connections stay open, and nothing comes through.
    Silent,
    /// Each connection has a fate, by the seed and its number: it is slow, breaks off in a request or in an answer, falls
    /// silent, or is reset. See [`Fate`].
    Foul(u64),
    /// Of every so many requests that create, change or remove objects, of each [method](METHODS), the answer to one gets
    /// lost, after the server has done what was asked.
    LosingAnswers(u64),
}

struct State {
    weather: Mutex<Weather>,
    /// Requests that change something, by method.
    changes: [AtomicU64; METHODS.len()],
    /// Answers to them that got lost.
    lost: [AtomicU64; METHODS.len()],
    connections: AtomicU64,
    /// Connections that did not end well.
    spoiled: AtomicU64,
}

/// A running proxy. It lives as long as the process.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

/// What changes something: `POST` removes objects, and makes large ones of their parts. What our client removes by `DELETE`
/// are only parts of an upload that it gives up.
pub const METHODS: [&str; 2] = ["PUT", "POST"];

/// How long it takes a change of weather to reach a connection.
const TICK: Duration = Duration::from_millis(20);

impl Proxy {
    /// Starts a proxy for a server.
    ///
    /// # Errors
    /// The system's.
    pub fn start(server: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let state = State {
            weather: Mutex::new(Weather::Fair),
            changes: Default::default(),
            lost: Default::default(),
            connections: AtomicU64::new(0),
            spoiled: AtomicU64::new(0),
        };
        let proxy = Proxy { address: listener.local_addr()?, state: Arc::new(state) };
        let state = Arc::clone(&proxy.state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                thread::spawn(move || {
                    let fate = state.next_fate();
                    // A connection that breaks is what this is about.
                    let _ = if fate == Fate::Reset { reset(&client) } else { state.carry(&client, server, fate) };
                });
            }
        });
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does.
    pub fn set(&self, weather: Weather) {
        *self.state.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// Connections that foul weather has spoiled.
    #[must_use]
    pub fn spoiled(&self) -> u64 {
        self.state.spoiled.load(Ordering::Relaxed)
    }

    /// Answers that got lost, by method: see [`METHODS`].
    #[must_use]
    pub fn lost(&self) -> [u64; METHODS.len()] {
        self.state.lost.each_ref().map(|lost| lost.load(Ordering::Relaxed))
    }
}

impl State {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fate(&self) -> Fate {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let fate = match self.weather() {
            Weather::Foul(seed) => fate(seed, number),
            Weather::Fair | Weather::Refusing | Weather::Silent | Weather::LosingAnswers(_) => Fate::Passes,
        };
        self.spoiled.fetch_add(u64::from(fate == Fate::Reset), Ordering::Relaxed);
        fate
    }

    fn carry(self: &Arc<Self>, client: &TcpStream, server: SocketAddr, fate: Fate) -> io::Result<()> {
        if self.weather() == Weather::Refusing {
            return client.shutdown(Shutdown::Both);
        }
        let server = TcpStream::connect(server)?;
        // The number of a method, and one more; zero for none.
        let losing = Arc::new(AtomicUsize::new(0));
        let back = {
            let (state, losing) = (Arc::clone(self), Arc::clone(&losing));
            let (from, to) = (server.try_clone()?, client.try_clone()?);
            thread::spawn(move || {
                let _ = state.copy(&from, &to, Way::Answers(fate), |_| {
                    let lost = losing.load(Ordering::Acquire).checked_sub(1);
                    if let Some(method) = lost {
                        state.lost[method].fetch_add(1, Ordering::Relaxed);
                    }
                    lost.is_none()
                });
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            })
        };
        let done = self.copy(client, &server, Way::Requests(fate), |bytes| {
            // A client sends the next request after the last answer, so a request starts with a read.
            if let Weather::LosingAnswers(every) = self.weather()
                && let Some(method) = METHODS.iter().position(|method| begins(bytes, method))
                && (self.changes[method].fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every)
            {
                losing.store(method + 1, Ordering::Release);
            }
            true
        });
        let _ = server.shutdown(Shutdown::Both);
        let _ = back.join();
        let _ = client.shutdown(Shutdown::Both);
        done
    }

    /// Passes on what comes, as long as `pass` agrees and the weather and the connection's fate allow.
    fn copy(&self, mut from: &TcpStream, mut to: &TcpStream, way: Way, pass: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        from.set_read_timeout(Some(TICK))?;
        let mut buffer = vec![0; 64 << 10];
        let mut passed = 0;
        loop {
            // What was foul is fair once the weather is.
            let foul = match self.weather() {
                Weather::Refusing => return Ok(()),
                Weather::Silent => {
                    thread::sleep(TICK);
                    continue;
                }
                Weather::Fair | Weather::LosingAnswers(_) => false,
                Weather::Foul(_) => true,
            };
            let most = if foul { way.at_a_time(buffer.len()) } else { buffer.len() };
            let count = match from.read(&mut buffer[..most]) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
                Err(error) => return Err(error),
            };
            if !pass(&buffer[..count]) {
                return Ok(());
            }
            if !foul {
                to.write_all(&buffer[..count])?;
                continue;
            }
            thread::sleep(way.pause(count));
            let left = usize::try_from(way.most().saturating_sub(passed)).unwrap_or(usize::MAX);
            to.write_all(&buffer[..count.min(left)])?;
            passed += count as u64;
            if count > left {
                self.spoiled.fetch_add(1, Ordering::Relaxed);
                if !matches!(way, Way::Answers(Fate::Swallowed(_))) {
                    return Ok(());
                }
                self.swallow(from)?;
            }
        }
    }

    /// Takes what comes and passes nothing on, as long as the weather is foul.
    fn swallow(&self, mut from: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while matches!(self.weather(), Weather::Foul(_)) {
            match from.read(&mut buffer) {
                Ok(0) => thread::sleep(TICK),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        // Half of an answer is missing.
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

/// One direction of a connection with its fate.
#[derive(Clone, Copy)]
enum Way {
    Requests(Fate),
    Answers(Fate),
}

impl Way {
    /// Bytes after which it ends.
    fn most(self) -> u64 {
        match self {
            Way::Requests(Fate::RequestCut(bytes)) | Way::Answers(Fate::AnswerCut(bytes) | Fate::Swallowed(bytes)) => {
                bytes
            }
            Way::Requests(_) | Way::Answers(_) => u64::MAX,
        }
    }

    fn at_a_time(self, most: usize) -> usize {
        if matches!(self, Way::Answers(Fate::Throttled(_))) { most.min(4096) } else { most }
    }

    fn pause(self, bytes: usize) -> Duration {
        match self {
            Way::Answers(Fate::Delayed(by)) => by,
            Way::Answers(Fate::Throttled(per_second)) => Duration::from_micros(bytes as u64 * 1_000_000 / per_second),
            Way::Requests(_) | Way::Answers(_) => Duration::ZERO,
        }
    }
}

fn begins(bytes: &[u8], method: &str) -> bool {
    bytes.strip_prefix(method.as_bytes()).is_some_and(|rest| rest.starts_with(b" "))
}

/// Closes a connection on which something has arrived that nobody has read: the system resets it.
fn reset(client: &TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    client.peek(&mut [0]).map(drop)
}

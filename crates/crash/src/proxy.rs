//! A proxy between workers and an S3 server, that can be a bad network.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What it does to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Fair,
    /// Connections are closed at once, also those that were open.
    Refusing,
    /// Connections stay open, and nothing comes through.
    Silent,
    /// Of every so many requests that create or change an object, the answer to one gets lost, after the
    /// server has done what was asked.
    LosingAnswers(u64),
}

struct State {
    weather: Mutex<Weather>,
    /// Requests that change something.
    changes: AtomicU64,
    lost: AtomicU64,
}

/// A running proxy. It lives as long as the process.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

/// How long it takes a change of weather to reach a connection.
const TICK: Duration = Duration::from_millis(20);

impl Proxy {
    /// Starts a proxy for a server.
    ///
    /// # Errors
    /// The system's.
    pub fn start(server: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let state = State { weather: Mutex::new(Weather::Fair), changes: AtomicU64::new(0), lost: AtomicU64::new(0) };
        let proxy = Proxy { address: listener.local_addr()?, state: Arc::new(state) };
        let state = Arc::clone(&proxy.state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                thread::spawn(move || {
                    // A connection that breaks is what this is about.
                    let _ = state.carry(&client, server);
                    let _ = client.shutdown(Shutdown::Both);
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

    /// Answers that got lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }
}

impl State {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry(self: &Arc<Self>, client: &TcpStream, server: SocketAddr) -> io::Result<()> {
        if self.weather() == Weather::Refusing {
            return Ok(());
        }
        let server = TcpStream::connect(server)?;
        let losing = Arc::new(AtomicBool::new(false));
        let back = {
            let (state, losing) = (Arc::clone(self), Arc::clone(&losing));
            let (from, to) = (server.try_clone()?, client.try_clone()?);
            thread::spawn(move || {
                let _ = state.copy(&from, &to, |_| {
                    let lost = losing.load(Ordering::Acquire);
                    state.lost.fetch_add(u64::from(lost), Ordering::Relaxed);
                    !lost
                });
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            })
        };
        let done = self.copy(client, &server, |bytes| {
            // A client sends the next request after the last answer, so a request starts with a read.
            if let Weather::LosingAnswers(every) = self.weather()
                && bytes.starts_with(b"PUT ")
                && (self.changes.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every)
            {
                losing.store(true, Ordering::Release);
            }
            true
        });
        let _ = server.shutdown(Shutdown::Both);
        let _ = back.join();
        done
    }

    /// Passes on what comes, as long as `pass` agrees and the weather allows.
    fn copy(&self, mut from: &TcpStream, mut to: &TcpStream, pass: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        from.set_read_timeout(Some(TICK))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.weather() {
                Weather::Refusing => return Ok(()),
                Weather::Silent => {
                    thread::sleep(TICK);
                    continue;
                }
                Weather::Fair | Weather::LosingAnswers(_) => {}
            }
            let count = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
                Err(error) => return Err(error),
            };
            if !pass(&buffer[..count]) {
                return Ok(());
            }
            to.write_all(&buffer[..count])?;
        }
    }
}

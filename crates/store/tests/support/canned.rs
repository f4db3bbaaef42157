//! A server that gives prepared answers, to show what no test server does on demand.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What to do with one request.
#[derive(Clone)]
pub enum Reply {
    /// Status line, then body.
    Answer(&'static str, String),
    /// The same, with one more header line.
    AnswerWith(&'static str, &'static str, String),
    /// Close the connection without an answer.
    HangUp,
    /// Keep the connection open without an answer.
    Silence,
}

/// The requests that came, each with its first line and headers.
pub type Seen = Arc<Mutex<Vec<String>>>;

/// Serves the replies in turn, the last one for ever. Returns the endpoint.
pub fn serve(replies: Vec<Reply>) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let requests = Arc::clone(&seen);
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let Ok(stream) = stream else { break };
            let Some(head) = read_request(&stream) else { continue };
            let mut requests = requests.lock().unwrap();
            let reply = replies[requests.len().min(replies.len() - 1)].clone();
            requests.push(head);
            drop(requests);
            match reply {
                Reply::HangUp => {}
                Reply::Silence => held.push(stream),
                Reply::Answer(status, body) => answer(stream, status, "", &body),
                Reply::AnswerWith(status, header, body) => answer(stream, status, header, &body),
            }
        }
    });
    (endpoint, seen)
}

/// An error as S3 words it.
pub fn refusal(status: &'static str, code: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>In its own words</Message></Error>");
    Reply::Answer(status, body)
}

fn answer(mut stream: TcpStream, status: &str, header: &str, body: &str) {
    let length = format!("Content-Length: {}", body.len());
    // A header of the test's own replaces the true length: an answer to HEAD, or one that breaks off.
    let headers = match header {
        "" => length,
        header if header.starts_with("Content-Length:") => header.to_owned(),
        header => format!("{length}\r\n{header}"),
    };
    let text = format!(
        "HTTP/1.1 {status}\r\n{headers}\r\nConnection: close\r\nETag: \"e\"\r\n\
         Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT\r\n\r\n{body}"
    );
    // The client may have gone; what it then says is what the test looks at.
    let _ = stream.write_all(text.as_bytes());
}

fn read_request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut body_bytes = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            body_bytes = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; body_bytes];
    reader.read_exact(&mut body).ok()?;
    Some(head)
}

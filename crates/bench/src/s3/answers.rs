//! What the server says.

use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use crate::s3_request::{Listing, Span};

/// Nobody here compares tags.
const TAG: &str = "\"0\"";

pub(super) fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

pub(super) fn text(text: String) -> Response<Full<Bytes>> {
    Response::new(Full::new(text.into()))
}

pub(super) fn missing() -> Response<Full<Bytes>> {
    let mut response = text("<Error><Code>NoSuchKey</Code></Error>".to_owned());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

pub(super) fn denied() -> Response<Full<Bytes>> {
    let mut response = text("<Error><Code>AccessDenied</Code></Error>".to_owned());
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

pub(super) fn stored() -> Response<Full<Bytes>> {
    let mut response = status(StatusCode::OK);
    set(&mut response, "etag", TAG);
    response
}

pub(super) fn deleted(keys: &[String]) -> Response<Full<Bytes>> {
    let each: String = keys.iter().map(|key| format!("<Deleted><Key>{key}</Key></Deleted>")).collect();
    text(format!("<DeleteResult>{each}</DeleteResult>"))
}

pub(super) fn upload(key: &str, number: u64) -> Response<Full<Bytes>> {
    text(format!(
        "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{key}</Key><UploadId>{number}</UploadId>\
         </InitiateMultipartUploadResult>"
    ))
}

pub(super) fn completed(key: &str) -> Response<Full<Bytes>> {
    text(format!(
        "<CompleteMultipartUploadResult><Location>l</Location><Bucket>b</Bucket><Key>{key}</Key><ETag>{TAG}</ETag>\
         </CompleteMultipartUploadResult>"
    ))
}

fn set(response: &mut Response<Full<Bytes>>, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
}

pub(super) fn object(bytes: &Bytes, modified: SystemTime, span: Option<Span>, head: bool) -> Response<Full<Bytes>> {
    let all = bytes.len() as u64;
    let (from, to) = match span {
        None => (0, all),
        Some(Span::Last(count)) => (all.saturating_sub(count), all),
        Some(Span::Between(from, to)) => (from, to.map_or(all, |to| (to + 1).min(all))),
    };
    if from > to || (span.is_some() && from >= all) {
        return status(StatusCode::RANGE_NOT_SATISFIABLE);
    }
    let part = bytes.slice(from as usize..to as usize);
    let mut response = if head { status(StatusCode::OK) } else { Response::new(Full::new(part)) };
    if head {
        set(&mut response, "content-length", &all.to_string());
    } else if span.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(&mut response, "content-range", &format!("bytes {from}-{}/{all}", to.saturating_sub(1)));
    }
    set(&mut response, "etag", TAG);
    set(&mut response, "last-modified", &http_date(modified));
    set(&mut response, "accept-ranges", "bytes");
    response
}

pub(super) fn listing<'a>(
    list: &Listing,
    entries: impl Iterator<Item = (&'a str, usize, SystemTime)>,
    most: usize,
) -> Response<Full<Bytes>> {
    let most = list.most.unwrap_or(most).min(most);
    let (mut contents, mut folders, mut count, mut last) = (String::new(), Vec::<String>::new(), 0, "");
    let mut more = false;
    for (key, bytes, modified) in entries {
        let folder = list.delimiter.as_ref().and_then(|delimiter| {
            let rest = &key[list.prefix.len()..];
            rest.find(delimiter.as_str()).map(|at| key[..list.prefix.len() + at + delimiter.len()].to_owned())
        });
        if folder.as_ref().is_some_and(|folder| folders.last() == Some(folder)) {
            last = key;
            continue;
        }
        if count == most {
            more = true;
            break;
        }
        count += 1;
        last = key;
        match folder {
            Some(folder) => folders.push(folder),
            None => {
                let _ = write!(
                    contents,
                    "<Contents><Key>{key}</Key><LastModified>{}</LastModified><ETag>{TAG}</ETag><Size>{bytes}</Size>\
                     <StorageClass>STANDARD</StorageClass></Contents>",
                    iso_date(modified)
                );
            }
        }
    }
    let folders: String =
        folders.iter().map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")).collect();
    let token = if more { format!("<NextContinuationToken>{last}</NextContinuationToken>") } else { String::new() };
    text(format!(
        "<ListBucketResult><Name>b</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>{most}</MaxKeys>\
         <IsTruncated>{more}</IsTruncated>{token}{contents}{folders}</ListBucketResult>",
        list.prefix
    ))
}

struct Date {
    year: u64,
    month: u64,
    day: u64,
    weekday: u64,
    seconds: u64,
    millis: u32,
}

/// The civil date of a time, by the days of 400-year cycles that begin in March.
fn date(time: SystemTime) -> Date {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since.as_secs() / 86400, since.as_secs() % 86400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Date {
        year: year_of_era + era * 400 + u64::from(month <= 2),
        month,
        day: of_year - (153 * from_march + 2) / 5 + 1,
        weekday: (days + 4) % 7,
        seconds,
        millis: since.subsec_millis(),
    }
}

fn iso_date(time: SystemTime) -> String {
    let Date { year, month, day, seconds, millis, .. } = date(time);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}.{millis:03}Z", seconds % 60)
}

fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Date { year, month, day, weekday, seconds, .. } = date(time);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let (weekday, month) = (DAYS[weekday as usize], MONTHS[month as usize - 1]);
    format!("{weekday}, {day:02} {month} {year} {hours:02}:{minutes:02}:{:02} GMT", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7);
        assert_eq!(http_date(at(951_782_400)), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(iso_date(at(1_000_000_000)), "2001-09-09T01:46:40.007Z");
        assert_eq!(iso_date(at(1_767_225_599)), "2025-12-31T23:59:59.007Z");
    }
}

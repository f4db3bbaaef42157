//! How a volume gets opened for this face.

use std::{env, process};

use plimsoll_host::os;
use plimsoll_metrics::Metrics;
use plimsoll_model::{Error, ErrorKind, Result, ResultExt};
use plimsoll_settings::{Override, key};
use plimsoll_store::{Scheme, VolumeUrl};
use plimsoll_volume::{Connections, Opening, Process, Volume};

use crate::logging;

/// What a connection asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The volume's URL.
    pub(crate) url: String,
    /// Settings from the URI's parameters, in order.
    pub(crate) settings: Vec<(String, String)>,
    /// Open as a follower.
    pub(crate) read_only: bool,
    /// Make the volume if there is none.
    pub(crate) create: bool,
}

/// The machine, as seen by this process.
///
/// # Errors
/// When the system refuses to start a thread.
pub(crate) fn start_process() -> Result<Process> {
    Ok(Process {
        host: os::host().doing("starting", "the engine's threads")?,
        metrics: Metrics::new(),
        // What is not Unicode is no setting of ours.
        environment: env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        host_name: os::host_name(),
        pid: process::id(),
        connections: Connections::default(),
    })
}

/// Starts logging and metrics as the settings of file and environment say.
pub(crate) fn start_reporting(process: &Process) {
    // Settings that cannot be used are an error of each volume that is opened with them.
    let Ok(settings) = process.settings(&[]) else { return };
    logging::start(&settings.settings.log);
    if let Err(error) = process.serve_metrics(&settings.settings) {
        // Several processes often share a settings file; only one of them gets the address.
        tracing::error!(%error, "metrics are not served");
    }
}

/// Opens the volume at a URL. Called once per URL and process, however many connections share it.
///
/// # Errors
/// `Invalid` for an unusable URL or setting; `NotFound` if there is no volume and none shall be
/// made; whatever opening the volume answers.
pub(crate) fn open_volume(process: &Process, request: &Request) -> Result<Volume> {
    let volume = process.open(opening(request)?)?;
    if !request.create && !volume.exists() {
        return Err(Error::new(ErrorKind::NotFound, "opening the volume")
            .object(&request.url)
            .why("there is no volume")
            .hint("check the URL, or open it so that it may be created"));
    }
    Ok(volume)
}

fn opening(request: &Request) -> Result<Opening> {
    let mut url = VolumeUrl::parse(&request.url)?;
    // An account is a part of where the volume is.
    let (account, settings): (Vec<_>, Vec<_>) =
        request.settings.iter().cloned().partition(|(name, _)| name == "account");
    url.params.extend(account);
    Ok(Opening { url, overrides: overrides(&settings), read_only: request.read_only })
}

/// The one spelling of where the volume of a request is, with server and account wherever those are named. Sends no
/// request.
///
/// # Errors
/// `Invalid`, `Denied` or `Unsupported` for what cannot be opened.
pub(crate) fn place(process: &Process, request: &Request) -> Result<String> {
    let opening = opening(request)?;
    if matches!(opening.url.scheme(), Scheme::File | Scheme::Memory) {
        // Settings do not lead elsewhere, and need not be read for each connection.
        return Ok(opening.url.resolved().canonical());
    }
    Ok(process.locate(&opening)?.own.url().to_owned())
}

fn overrides(settings: &[(String, String)]) -> Vec<Override> {
    settings.iter().map(|(name, value)| Override::new(name, value, "URL parameter")).collect()
}

/// Whether the settings that a connection names are those of the volume that is open already.
///
/// # Errors
/// `Invalid` naming one that is not, or that is none.
pub(crate) fn agree(process: &Process, request: &Request, volume: &Volume) -> Result<()> {
    let named: Vec<_> = request.settings.iter().filter(|(name, _)| name != "account").cloned().collect();
    if named.is_empty() {
        return Ok(());
    }
    let (asked, has) = (process.settings(&overrides(&named))?.settings, volume.settings());
    for key in named.iter().filter_map(|(name, _)| key(name)) {
        let (asked, has) = (asked.show(key), has.show(key));
        if asked != has {
            return Err(Error::new(ErrorKind::Invalid, "opening another connection to")
                .object(&request.url)
                .why(format!("it asks for {} = {asked}, and the volume is open in this process with {has}", key.name))
                .hint("give every connection of a process the same settings, or change them in plimsoll.toml"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(url: &str, settings: &[(&str, &str)]) -> String {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request { url: url.to_owned(), settings, read_only: false, create: true };
        let mut process = start_process().unwrap();
        process.environment = [("HOME".to_owned(), "/home/me".to_owned())].into();
        place(&process, &request).unwrap()
    }

    /// They once did as soon as their URLs were the same without parameters, and the second one read and wrote the
    /// first one's volume.
    #[test]
    fn connections_do_not_share_a_volume_if_they_name_different_servers_or_accounts() {
        let azure = |account| place_of("az://c/app", &[("account", account)]);
        assert_ne!(azure("one"), azure("two"));
        assert_eq!(azure("one"), azure("one"));
        let server = [("endpoint", "http://127.0.0.1:9000")];
        let region = ("region", "eu-central-1");
        assert_ne!(place_of("s3://b/app", &[region]), place_of("s3://b/app", &[server[0], region]));
        assert_eq!(place_of("s3://b/app", &[server[0], region]), place_of("s3://b/app/", &[region, server[0]]));
        assert_eq!(place_of("memory:///app", &[("sync_interval_ms", "5")]), place_of("memory:///app", &[]));
    }
}

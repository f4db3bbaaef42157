//! What all stores of a process share of the network.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, ReqwestConnector},
};

use super::{authorities::Authorities, streamed::Client};

/// HTTP clients, each with its certificates and its connections that wait for the next request. Stores that share them
/// go on where another one has a connection, and many that are idle hold no more than one. A request brings its own
/// signature, so what is shared knows no account.
///
/// A connection belongs to the runtime that made it: share these among stores of one host only.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<HashMap<String, HttpClient>>>);

impl Connections {
    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<String, HttpClient>> {
        // A client is put in whole or not at all.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connections({} clients)", self.clients().len())
    }
}

/// Makes a store's clients, unless another store has one like it.
#[derive(Debug)]
pub(super) struct Connector {
    shared: Connections,
    authorities: Authorities,
}

impl Connections {
    pub(super) fn trusting(&self, authorities: Authorities) -> Connector {
        Connector { shared: self.clone(), authorities }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Options cannot be compared, but they print all that they hold.
        let name = format!("{options:?} {:?}", self.authorities);
        let mut clients = self.shared.clients();
        if let Some(client) = clients.get(&name) {
            return Ok(client.clone());
        }
        let others = ReqwestConnector::default().connect(&self.authorities.only(options)?)?;
        let client = HttpClient::new(Client::new(others, options, &self.authorities));
        clients.insert(name, client.clone());
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn stores_with_the_same_options_share_a_client_and_others_do_not() {
        let connections = Connections::default();
        let options = |seconds| ClientOptions::new().with_connect_timeout(Duration::from_secs(seconds));
        for seconds in [5, 5, 6, 5] {
            connections.trusting(Authorities::default()).connect(&options(seconds)).unwrap();
        }
        assert_eq!(format!("{connections:?}"), "Connections(2 clients)");
    }
}

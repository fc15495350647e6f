//! Anywhere (pure): where the metrics are served, an address or a table.

use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess};

use super::choice::{WordOrTable, choice};
use super::error::needs;
use super::quantity::{Address, Written};
#[cfg(feature = "prometheus")]
use crate::admin::Prometheus;

/// Where the metrics are served, if this build can serve them.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "prometheus"), expect(dead_code, reason = "nothing serves them"))]
pub(super) struct Listen {
    /// None for a recorder without a listener.
    address: Option<SocketAddr>,
    is_optional: bool,
}

#[cfg(feature = "prometheus")]
impl Listen {
    pub(super) fn prometheus(self) -> Prometheus {
        let prometheus = self.address.map_or_else(Prometheus::without_listener, Prometheus::new);
        if self.is_optional { prometheus.optional() } else { prometheus }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenKeys {
    listen: Address,
    #[serde(default)]
    optional: bool,
}

impl WordOrTable for Listen {
    fn allowed() -> String {
        "an IP address and a port, such as `127.0.0.1:9464` or `[::]:9464`, or a table of `listen` and `optional`"
            .into()
    }

    fn from_word<E: de::Error>(word: &str) -> Result<Option<Self>, E> {
        // `never` alone would read as if there were no recorder either.
        let address = Address::from_text(word).and_then(|Address(address)| address);
        address.map(|address| supported(Listen { address: Some(address), is_optional: false })).transpose()
    }

    fn from_table<'de, A: MapAccess<'de>>(table: A) -> Result<Self, A::Error> {
        let ListenKeys { listen: Address(address), optional } =
            ListenKeys::deserialize(MapAccessDeserializer::new(table))?;
        supported(Listen { address, is_optional: optional })
    }
}

fn supported<E: de::Error>(listen: Listen) -> Result<Listen, E> {
    if cfg!(feature = "prometheus") { Ok(listen) } else { Err(needs("prometheus")) }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        choice(deserializer)
    }
}

//! Databases in the MaxMind DB format that users bring: those of MaxMind about anonymizers and risk, and the security
//! database of ipgeolocation.io.

mod record;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::Date;
use maxminddb::{MaxMindDbError, Reader};

use super::own_networks::{self, Known};
use super::printable::printable;
use super::signal::Signal;
use record::Record;

/// Which databases are known, by what their records hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Anonymous IP, Anonymous Plus and IP Risk of MaxMind: flags, and in the later ones a name, a date and a score.
    MaxMindAnonymous,
    /// Residential Proxy of MaxMind, in which each record is about a residential proxy.
    MaxMindResidentialProxy,
    /// ASN and ISP of MaxMind and others: the numbers of networks, of which our own table knows whose they are.
    Networks,
    /// The security database of ipgeolocation.io, whose fields are those of its API.
    IpgeolocationSecurity,
}

/// What users are told is known.
const KNOWN: &str = "`GeoIP2-Anonymous-IP`, `GeoIP-Anonymous-Plus`, `GeoIP-Residential-Proxy`, `GeoIP2-IP-Risk`, \
                     `GeoLite2-ASN` or the security database of ipgeolocation.io";

impl Kind {
    /// What such a database can say.
    #[must_use]
    pub const fn signals(self) -> &'static [Signal] {
        use Signal::{
            Attacker, Cloud, CorporateGateway, GoodBot, Hosting, PublicProxy, Relay, ResidentialProxy, Score,
            Spam, TorExit, Vpn,
        };
        match self {
            Self::MaxMindAnonymous => &[Vpn, PublicProxy, ResidentialProxy, TorExit, Hosting, Score],
            Self::MaxMindResidentialProxy => &[ResidentialProxy],
            Self::Networks => &[Cloud, Hosting, CorporateGateway],
            Self::IpgeolocationSecurity => &[
                Attacker,
                Vpn,
                PublicProxy,
                ResidentialProxy,
                TorExit,
                Relay,
                Cloud,
                CorporateGateway,
                GoodBot,
                Spam,
            ],
        }
    }

    fn of(database_type: &str) -> Option<Self> {
        let name = ["GeoIP2-", "GeoIP-"].iter().find_map(|maker| database_type.strip_prefix(maker));
        match name {
            Some("Anonymous-IP" | "Anonymous-Plus" | "IP-Risk") => Some(Self::MaxMindAnonymous),
            Some("Residential-Proxy") => Some(Self::MaxMindResidentialProxy),
            Some("ISP" | "ASN") => Some(Self::Networks),
            Some(_) => None,
            None if is_of_networks(database_type) => Some(Self::Networks),
            // The type of this one is written down nowhere, only what the file is called.
            None => {
                let is_security = database_type.to_ascii_lowercase().contains("security");
                is_security.then_some(Self::IpgeolocationSecurity)
            }
        }
    }
}

/// `GeoLite2-ASN`, and what others call theirs, such as `DBIP-ASN-Lite`.
fn is_of_networks(database_type: &str) -> bool {
    database_type.split(['-', ' ', '_']).any(|word| word.eq_ignore_ascii_case("asn"))
}

/// Why a file cannot be used as a database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MmdbError {
    /// The file is no database, or a damaged one.
    #[error("this is no MaxMind DB file, or a damaged one ({0}); fetch it again")]
    Damaged(String),
    /// The database is of a type that says nothing of risk, or is not known.
    #[error("the type of this database, `{0}`, is not one that is known; use {KNOWN}")]
    UnknownType(String),
}

/// One thing that a database says of an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// What it says.
    pub signal: Signal,
    /// Who runs it, when the database says so.
    pub name: Option<String>,
    /// How sure the database is, from 1 to 100, or of [`Signal::Score`] the score itself. 0 is not said.
    pub value: u8,
    /// When it was last seen.
    pub seen: Option<Date>,
}

/// A database in memory.
#[derive(Debug)]
pub struct Database {
    reader: Reader<Vec<u8>>,
    kind: Kind,
    errors: AtomicU64,
    /// Whose networks are whose; empty where the database has no numbers of networks.
    networks: HashMap<u32, Known>,
}

impl Database {
    /// Opens a database from its bytes, which it keeps. Takes no longer for a large one.
    ///
    /// # Errors
    /// When the bytes are no database, or one of a type that is not known.
    pub fn open(bytes: Vec<u8>) -> Result<Self, MmdbError> {
        let reader =
            Reader::from_source(bytes).map_err(|error| MmdbError::Damaged(printable(&error.to_string())))?;
        let database_type = &reader.metadata().database_type;
        let kind = Kind::of(database_type).ok_or_else(|| MmdbError::UnknownType(printable(database_type)))?;
        let networks = if kind == Kind::Networks { own_networks::by_number() } else { HashMap::new() };
        Ok(Self { reader, kind, errors: AtomicU64::new(0), networks })
    }

    /// Which database it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// When the database was built, in milliseconds since 1970.
    #[must_use]
    pub fn built_at(&self) -> u64 {
        self.reader.metadata().build_epoch.saturating_mul(1_000)
    }

    /// What the database says of an address; nothing when it has no record of it, or one that cannot be decoded.
    /// Takes about a microsecond.
    #[must_use]
    pub fn look_up(&self, address: IpAddr) -> Vec<Found> {
        let address = address.to_canonical();
        let record = match self.reader.lookup(address) {
            Ok(found) => found.decode::<Record>(),
            // IPv6 in a database of IPv4 only.
            Err(MaxMindDbError::InvalidInput { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        if record.is_err() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        record.ok().flatten().map(|record| record.found(self.kind, &self.networks)).unwrap_or_default()
    }

    /// How many records could not be decoded.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// What is wrong with the database as a whole, if anything: some of its records may still be good, and those of
    /// makers other than MaxMind often have only their description missing. Reads the whole database, so takes seconds
    /// for a large one.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.reader.verify().err().map(|error| printable(&error.to_string()))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod writer;

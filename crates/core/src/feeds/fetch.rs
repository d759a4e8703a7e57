//! Brings one file of a feed here, politely and within limits.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, LOCATION, RETRY_AFTER, TRANSFER_ENCODING,
};
use reqwest::{Client, Response, StatusCode, Url, Version};
use tokio::time::timeout;

use super::catalogue::{Feed, Location, fetchable};
use super::inflate::{Sink, is_damaged, is_too_large};
use super::progress::{Stage, Tracker};
use crate::error::{Code, Error};
use crate::http::{Way, classify, internal};

const MOST_REDIRECTS: usize = 3;
const LARGEST_PAGE: usize = 4 << 20;
const LONGEST_LINK: usize = 2_048;
const LONGEST_VALIDATOR: usize = 512;
/// How long a server may send its clients away.
pub(crate) const LONGEST_RETRY: u64 = 7 * 24 * 60 * 60 * 1_000;

/// How long fetching one feed may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connecting, with TLS.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// All of it.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            total: Duration::from_mins(5),
        }
    }
}

/// Why a feed could not be fetched. The last good file stays.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection.
    #[error("no connection; check name resolution, firewall and `HTTPS_PROXY`")]
    Connect,
    /// The certificate is not trusted, or TLS failed otherwise.
    #[error("the certificate is not trusted; a company proxy's authority goes into `NODE_EXTRA_CA_CERTS`")]
    Tls,
    /// It took too long.
    #[error("it took too long or stood still; try again later")]
    Timeout,
    /// The server sends its clients away for a while: status 429 or 503.
    #[error("the server is busy (status {status}); try again later")]
    Busy {
        /// The status.
        status: u16,
        /// Until when, when it said so, in milliseconds since 1970.
        retry_at: Option<u64>,
    },
    /// Another status than 200.
    #[error("the server answered with status {0}; if that stays, update this package")]
    Status(u16),
    /// A redirect that is not followed: to another site, from https to http, or one too many.
    #[error("the server redirects {0}, which is not followed; if that stays, update this package")]
    Redirect(&'static str),
    /// A compression that was not asked for.
    #[error("the file came in a compression that was not asked for; something between may have changed it")]
    Encoding,
    /// An answer that only ends when the connection does, so that one that was cut off looks complete.
    #[error(
        "the server does not say where the file ends, so that it may be incomplete; fetch and import it by hand"
    )]
    NoLength,
    /// More bytes than the recipe allows, before or after decompression.
    #[error("the file is larger than {0} bytes; if that stays, update this package")]
    TooLarge(u64),
    /// The connection ended before the file was complete, or its compression did.
    #[error("the file is incomplete or damaged; try again later")]
    Truncated,
    /// The page does not have the link.
    #[error("the page does not have the link to the file; update this package, or import the file")]
    NoLink,
    /// The file that is to be imported cannot be read.
    #[error("the file cannot be read: {0}; check it, and who may read it")]
    Unreadable(String),
    /// The file could not be written.
    #[error("the file cannot be written: {0}; check the directory")]
    Storage(String),
}

impl FetchError {
    /// A stable word for programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Busy { .. } => "busy",
            Self::Status(_) => "status",
            Self::Redirect(_) => "redirect",
            Self::Encoding => "encoding",
            Self::NoLength => "no_length",
            Self::TooLarge(_) => "too_large",
            Self::Truncated => "truncated",
            Self::NoLink => "no_link",
            Self::Unreadable(_) => "unreadable",
            Self::Storage(_) => "storage",
        }
    }

    /// What a failed write of a sink means.
    pub(crate) fn of_sink(error: &io::Error, most: u64) -> Self {
        if is_too_large(error) {
            Self::TooLarge(most)
        } else if is_damaged(error) {
            Self::Truncated
        } else {
            Self::Storage(error.kind().to_string())
        }
    }

    fn of_client(error: &reqwest::Error) -> Self {
        match classify(error) {
            Code::Tls => Self::Tls,
            _ if error.is_connect() => Self::Connect,
            _ => Self::Truncated,
        }
    }
}

/// What lets a server say that a file has not changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Validators {
    /// The address that they are about.
    pub(crate) url: String,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

impl Validators {
    /// Whether they say anything, and about the file at `url`.
    fn are_about(&self, url: &Url) -> bool {
        self.url == url.as_str() && (self.etag.is_some() || self.last_modified.is_some())
    }
}

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// The file that is here is the newest.
    Unchanged,
    /// A new one, decompressed.
    File { file: File, validators: Validators },
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) feed: &'a Feed,
    /// Of the file that is here.
    pub(crate) validators: Option<&'a Validators>,
    pub(crate) tracker: &'a Tracker,
    pub(crate) now: u64,
    /// Whether any server answered, if only with the page that has the link, or with a redirect.
    was_answered: AtomicBool,
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        feed: &'a Feed,
        validators: Option<&'a Validators>,
        tracker: &'a Tracker,
        now: u64,
    ) -> Self {
        Self { feed, validators, tracker, now, was_answered: AtomicBool::new(false) }
    }

    /// Whether, with that outcome, a server got the request, so that the next one has to wait.
    pub(crate) fn was_asked(&self, error: &FetchError) -> bool {
        self.was_answered.load(Ordering::Relaxed) || !matches!(error, FetchError::Connect | FetchError::Tls)
    }
}

/// Fetches feeds.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    limits: Limits,
}

impl Fetcher {
    pub(crate) fn new(way: &Way<'_>, limits: Limits) -> Result<Self, Error> {
        let builder = way.builder()?.0.connect_timeout(limits.connect).no_gzip();
        let client = builder.build().map_err(|_| internal("the http client could not be built"))?;
        Ok(Self { client, limits })
    }

    /// Writes the feed's newest file to `file`, unless that is the one that `validators` are about.
    pub(crate) async fn fetch(&self, request: &Request<'_>, file: File) -> Result<Fetched, FetchError> {
        timeout(self.limits.total, self.run(request, file)).await.unwrap_or(Err(FetchError::Timeout))
    }

    async fn run(&self, request: &Request<'_>, file: File) -> Result<Fetched, FetchError> {
        request.tracker.enter(Stage::Fetching);
        let url = match &request.feed.location {
            Location::File(url) => url.clone(),
            Location::Page { page, start, rest } => self.link(request, page, start, rest).await?,
        };
        let validators = request.validators.filter(|validators| validators.are_about(&url));
        let response = self.follow(request, &url, &headers(validators)).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED if validators.is_some() => Ok(Fetched::Unchanged),
            StatusCode::OK => self.save(request, response, url, file).await,
            status => Err(refusal(status, response.headers(), request.now)),
        }
    }

    /// The answer of `start`, or of where it redirects to. See [`is_same_site`].
    async fn follow(
        &self,
        request: &Request<'_>,
        start: &Url,
        headers: &HeaderMap,
    ) -> Result<Response, FetchError> {
        let mut url = start.clone();
        for _ in 0..=MOST_REDIRECTS {
            let sending = self.client.get(url.clone()).headers(headers.clone()).send();
            let response = self.in_time(sending).await?.map_err(|error| FetchError::of_client(&error))?;
            request.was_answered.store(true, Ordering::Relaxed);
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            let target = header(response.headers(), &LOCATION).and_then(|location| url.join(&location).ok());
            url = target.ok_or(FetchError::Redirect("to no address"))?;
            if !is_same_site(start, &url) {
                return Err(FetchError::Redirect("to another site"));
            }
        }
        Err(FetchError::Redirect("too often"))
    }

    async fn in_time<T>(&self, step: impl Future<Output = T>) -> Result<T, FetchError> {
        timeout(self.limits.idle, step).await.map_err(|_| FetchError::Timeout)
    }

    /// The next piece of an answer.
    async fn piece(&self, response: &mut Response) -> Result<Option<Vec<u8>>, FetchError> {
        let piece = self.in_time(response.chunk()).await?;
        Ok(piece.map_err(|_| FetchError::Truncated)?.map(Into::into))
    }

    async fn save(
        &self,
        request: &Request<'_>,
        mut response: Response,
        url: Url,
        file: File,
    ) -> Result<Fetched, FetchError> {
        let (most, length) = (request.feed.max_bytes, response.content_length());
        check_head(&response)?;
        if length.is_some_and(|length| length > most) {
            return Err(FetchError::TooLarge(most));
        }
        request.tracker.expect(length);
        let validator =
            |name| header(response.headers(), &name).filter(|text| text.len() <= LONGEST_VALIDATOR);
        let validators =
            Validators { url: url.into(), etag: validator(ETAG), last_modified: validator(LAST_MODIFIED) };
        let mut sink = Sink::new(file, most);
        let (of_sink, mut left) = (|error: io::Error| FetchError::of_sink(&error, most), most);
        while let Some(piece) = self.piece(&mut response).await? {
            left = left.checked_sub(piece.len() as u64).ok_or(FetchError::TooLarge(most))?;
            sink.write_all(&piece).map_err(of_sink)?;
            request.tracker.add(piece.len());
        }
        Ok(Fetched::File { file: sink.finish().map_err(of_sink)?, validators })
    }

    /// The link that stands on a page.
    async fn link(
        &self,
        request: &Request<'_>,
        page: &Url,
        start: &str,
        rest: &[String],
    ) -> Result<Url, FetchError> {
        let mut response = self.follow(request, page, &HeaderMap::new()).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response.status(), response.headers(), request.now));
        }
        let mut text = Vec::new();
        while let Some(piece) = self.piece(&mut response).await? {
            if text.len() + piece.len() > LARGEST_PAGE {
                return Err(FetchError::TooLarge(LARGEST_PAGE as u64));
            }
            text.extend_from_slice(&piece);
        }
        find_link(&String::from_utf8_lossy(&text), start, rest).ok_or(FetchError::NoLink)
    }
}

fn headers(validators: Option<&Validators>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, text: Option<&str>| {
        if let Some(value) = text.and_then(|text| text.parse().ok()) {
            headers.insert(name, value);
        }
    };
    set(ACCEPT_ENCODING, Some("gzip"));
    set(IF_NONE_MATCH, validators.and_then(|validators| validators.etag.as_deref()));
    set(IF_MODIFIED_SINCE, validators.and_then(|validators| validators.last_modified.as_deref()));
    headers
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_owned())
}

/// Whether the answer can be the file: no compression that is unknown here, and an end that can be told. Whether it is a
/// page for people is told by what is in it; some lists are sent as if they were one.
fn check_head(response: &Response) -> Result<(), FetchError> {
    let encoding = header(response.headers(), &CONTENT_ENCODING).unwrap_or_default().to_lowercase();
    // Whether gzip is what it says is told by its first bytes.
    if !matches!(encoding.as_str(), "" | "identity" | "gzip" | "x-gzip") {
        return Err(FetchError::Encoding);
    }
    let is_framed = response.version() >= Version::HTTP_2
        || response.content_length().is_some()
        || response.headers().contains_key(TRANSFER_ENCODING);
    if is_framed { Ok(()) } else { Err(FetchError::NoLength) }
}

fn refusal(status: StatusCode, headers: &HeaderMap, now: u64) -> FetchError {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let retry_at = header(headers, &RETRY_AFTER).and_then(|text| retry_at(&text, now));
            FetchError::Busy { status: status.as_u16(), retry_at }
        }
        status => FetchError::Status(status.as_u16()),
    }
}

/// When a server wants to be asked again: after that many seconds, or at that time. At most a week from now.
pub(crate) fn retry_at(text: &str, now: u64) -> Option<u64> {
    let at = match text.parse::<u64>() {
        Ok(seconds) => now.saturating_add(seconds.saturating_mul(1_000)),
        Err(_) => moment(text)?,
    };
    Some(at.min(now.saturating_add(LONGEST_RETRY)))
}

/// The moment that a header names, in milliseconds since 1970.
pub(crate) fn moment(text: &str) -> Option<u64> {
    let moment = DateTimeParser::new().parse_timestamp(text).ok()?;
    u64::try_from(moment.as_millisecond()).ok()
}

/// A redirect is followed to the same host and to hosts under it, a leading `www.` left aside, by the same scheme and
/// port. Anything else could be somebody else's file.
fn is_same_site(start: &Url, target: &Url) -> bool {
    let (Some(own), Some(host)) = (start.host_str(), target.host_str()) else { return false };
    let own = own.strip_prefix("www.").unwrap_or(own);
    let is_under = host == own || host.strip_suffix(own).is_some_and(|front| front.ends_with('.'));
    let same_port = start.port_or_known_default() == target.port_or_known_default();
    is_under && same_port && start.scheme() == target.scheme() && fetchable(target.as_str()).is_some()
}

/// The first link on a page that begins with `start`, and has the `rest` in it in this order, the last of it at its end.
/// The page is cut into words first, and each is looked at once, so that no page makes this take long.
fn find_link(page: &str, start: &str, rest: &[String]) -> Option<Url> {
    let (last, between) = rest.split_last()?;
    page.split(|end: char| end.is_whitespace() || "\"'<>\\".contains(end)).find_map(|word| {
        let link = word.get(word.find(start)?..).filter(|link| link.len() <= LONGEST_LINK)?;
        let mut left = link.get(start.len()..)?;
        for part in between {
            left = left.split_once(part.as_str())?.1;
        }
        let url = fetchable(link).filter(|_| left.ends_with(last.as_str()))?;
        // Dots in the path could lead elsewhere.
        url.as_str().starts_with(start).then_some(url)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_the_site() {
        for (start, target, is_followed) in [
            ("https://feeds.example/a", "https://feeds.example/b", true),
            ("https://feeds.example/a", "https://www.feeds.example/b", true),
            ("https://www.feeds.example/a", "https://feeds.example/b", true),
            ("https://www.feeds.example/a", "https://cdn.feeds.example/b", true),
            ("https://feeds.example/a", "http://feeds.example/b", false),
            ("https://feeds.example/a", "https://feeds.example:8443/b", false),
            ("https://feeds.example/a", "https://user:word@feeds.example/b", false),
            ("https://feeds.example/a", "https://evilfeeds.example/b", false),
            ("https://feeds.example/a", "https://example/b", false),
            ("https://cdn.feeds.example/a", "https://feeds.example/b", false),
            ("https://feeds.example/a", "https://127.0.0.1/b", false),
            ("https://feeds.example/a", "file:///etc/passwd", false),
            ("http://127.0.0.1:1/a", "http://127.0.0.1:1/b", true),
            ("http://127.0.0.1:1/a", "http://127.0.0.1:2/b", false),
        ] {
            let url = |text| Url::parse(text).unwrap();
            assert_eq!(is_same_site(&url(start), &url(target)), is_followed, "{start} -> {target}");
        }
    }

    #[test]
    fn a_server_may_say_after_how_long_or_when_it_wants_to_be_asked_again() {
        let now = 1_792_567_680_000;
        for (text, at) in [
            ("120", Some(now + 120_000)),
            ("0", Some(now)),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(now + 30_000)),
            ("Wed, 21 Oct 2020 07:28:30 GMT", Some(1_603_265_310_000)),
            ("99999999999999999999", None),
            ("18446744073709551615", Some(now + LONGEST_RETRY)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(retry_at(text, now), at, "{text}");
        }
    }

    #[test]
    fn the_link_on_a_page_is_the_first_that_fits() {
        let rest = ["/Tags_".to_owned(), ".json".to_owned()];
        let find = |page: &str| find_link(page, "https://files.example/d/", &rest).map(String::from);
        let link = "https://files.example/d/7/1/Tags_20261123.json";
        assert_eq!(find(&format!("<a href=\"{link}\">x</a>")).as_deref(), Some(link));
        assert_eq!(find(&format!("https://files.example/d/other.json '{link}'>")).as_deref(), Some(link));
        for page in [
            "",
            "https://files.example/d/",
            "https://files.example/d/7/Tags_1.xml",
            "https://files.example/d/7/Tags_1.json.exe",
            "https://files.example/d/../../e/Tags_1.json",
            "https://files.example.evil/d/Tags_1.json",
        ] {
            assert_eq!(find(page), None, "{page}");
        }
        let long = format!("https://files.example/d/{}/Tags_1.json", "a".repeat(LONGEST_LINK));
        assert_eq!(find(&long), None);
        assert_eq!(find(&format!("\u{20ac}{link}\u{a0}{long}")).as_deref(), Some(link));
    }

    #[test]
    fn a_page_that_is_one_long_link_takes_no_time() {
        let page = "https://files.example/d/".repeat(LARGEST_PAGE / 24);
        let started = tokio::time::Instant::now();
        assert_eq!(find_link(&page, "https://files.example/d/", &["x".into(), "y".into()]), None);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

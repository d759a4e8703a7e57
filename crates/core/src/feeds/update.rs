//! `feeds update`: brings the feeds here and compiles them.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::catalogue::{Feed, Profile};
use super::fetch::{FetchError, Fetched, Fetcher, Limits, Request};
use super::progress::{Progress, Stage, Tracker};
use super::report::{FeedOutcome, FeedReport, UpdateReport};
use super::session::{Session, Setting};
use super::state::{Entry, SourceFile};
use crate::clock::{Clock, SystemClock};
use crate::error::{Code, Error};
use crate::http::{Way, internal};
use crate::options::Surroundings;

/// So many feeds are fetched at once.
const AT_ONCE: usize = 4;
const JITTER: Duration = Duration::from_secs(1);

/// What is updated, and how.
#[derive(Clone, Debug)]
pub struct UpdateOptions {
    /// Where feeds and table are kept. It is made when it does not exist.
    pub directory: PathBuf,
    /// Which feeds.
    pub profile: Profile,
    /// These feeds instead of a profile's, by their ids.
    pub only: Vec<String>,
    /// Also those that were fetched lately, but never more often than their operators want.
    pub force: bool,
    /// The use is not commercial, so that feeds whose licence asks for that may be fetched.
    pub accept_non_commercial: bool,
    /// Feeds whose size may have changed as much as it likes this time. They are fetched before they are due, but not
    /// before their operators allow it: a file that was refused is not kept.
    pub accept_change: Vec<String>,
    /// Another catalogue than that of the package, for mirrors.
    pub catalogue: Option<PathBuf>,
    /// A compiled file that carries networks by their number; without it, feeds about such networks say nothing.
    pub seed: Option<PathBuf>,
    /// Proxy and roots of trust; the rest of it is not used.
    pub surroundings: Surroundings,
    /// How long one feed may take.
    pub limits: Limits,
    /// Before each feed, a random time up to this passes, so that machines do not all ask in the same second.
    pub jitter: Duration,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
}

impl UpdateOptions {
    /// The default profile in that directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            profile: Profile::default(),
            only: Vec::new(),
            force: false,
            accept_non_commercial: false,
            accept_change: Vec::new(),
            catalogue: None,
            seed: None,
            surroundings: Surroundings::default(),
            limits: Limits::default(),
            jitter: JITTER,
            clock: Arc::new(SystemClock),
        }
    }
}

/// Fetches what is due, judges it, keeps what is good, and compiles all that is there into `feeds.bin`.
///
/// The last good file of a feed and the last good table stay whenever something goes wrong, also when the process
/// dies. Dropping the future stops the update. Work that takes long is done on threads of the runtime for that.
///
/// # Errors
/// [`Code::Feeds`] when the directory, the catalogue or the seed cannot be used, [`Code::FeedsBusy`] when another
/// update is under way, [`Code::Option`] for a feed that does not exist. What goes wrong with single feeds is in the
/// report.
pub async fn update(options: UpdateOptions, progress: Arc<Progress>) -> Result<UpdateReport, Error> {
    let begun = {
        let options = options.clone();
        blocking(move || begin(&options)).await??
    };
    let Begun { session, chosen, notes } = begun;
    let fetcher = fetcher(&options)?;
    progress.begin(chosen.iter().map(|feed| (feed.id.as_str(), feed.title.as_str())));
    let run = Run {
        session: Arc::new(session),
        fetcher,
        gate: Arc::new(Semaphore::new(AT_ONCE)),
        progress,
        options: Arc::new(options),
    };
    let feeds = run.all(chosen).await?;
    let report = UpdateReport { feeds, notes, ..UpdateReport::default() };
    blocking(move || run.session.finish(report)).await?
}

struct Begun {
    session: Session,
    chosen: Vec<Feed>,
    notes: Vec<String>,
}

fn begin(options: &UpdateOptions) -> Result<Begun, Error> {
    let mut notes = Vec::new();
    let setting = Setting {
        directory: &options.directory,
        catalogue: options.catalogue.as_deref(),
        seed: options.seed.as_deref(),
        accept_non_commercial: options.accept_non_commercial,
        accept_change: &options.accept_change,
        now: options.clock.now(),
    };
    let session = Session::begin(setting, &mut notes)?;
    let chosen = session.catalogue.choose(options.profile, &options.only)?;
    let chosen = chosen.into_iter().cloned().collect();
    Ok(Begun { session, chosen, notes })
}

fn fetcher(options: &UpdateOptions) -> Result<Fetcher, Error> {
    let around = &options.surroundings;
    let way = Way {
        extra_roots: around.extra_roots.as_deref(),
        https_proxy: around.https_proxy.as_ref(),
        no_proxy: around.no_proxy.as_deref(),
    };
    Fetcher::new(&way, options.limits)
}

/// One update under way.
#[derive(Clone, Debug)]
struct Run {
    session: Arc<Session>,
    fetcher: Fetcher,
    gate: Arc<Semaphore>,
    progress: Arc<Progress>,
    options: Arc<UpdateOptions>,
}

/// The place of a feed, and what came of it.
type Done = (usize, FeedReport);

impl Run {
    /// All feeds, a few at once.
    async fn all(&self, chosen: Vec<Feed>) -> Result<Vec<FeedReport>, Error> {
        let mut tasks = JoinSet::new();
        for (place, feed) in chosen.into_iter().enumerate() {
            tasks.spawn(self.clone().one(place, feed));
        }
        let mut reports = Vec::new();
        while let Some(done) = tasks.join_next().await {
            reports.push(done.map_err(|_| internal("a feed could not be updated"))??);
        }
        reports.sort_by_key(|(place, _)| *place);
        Ok(reports.into_iter().map(|(_, report)| report).collect())
    }

    /// What is known is saved at each step, so that little is lost with the process.
    async fn remember(&self, feed: &Feed, entry: &Entry) -> Result<(), Error> {
        let (session, feed, entry) = (Arc::clone(&self.session), feed.clone(), entry.clone());
        blocking(move || session.remember(&feed, entry)).await?
    }

    async fn one(self, place: usize, feed: Feed) -> Result<Done, Error> {
        let tracker = Tracker::new(&self.progress, place);
        let mut entry = self.session.entry(&feed);
        let without_asking = self.without_asking(&feed, &entry);
        let is_asked = without_asking.is_none();
        let outcome = match without_asking {
            Some(outcome) => outcome,
            None => self.bring(&feed, &mut entry, &tracker).await?,
        };
        tracker.end(outcome.as_str());
        let report = self.session.report(&feed, &mut entry, outcome);
        if is_asked {
            self.remember(&feed, &entry).await?;
        }
        Ok((place, report))
    }

    /// The outcome of a feed whose server is not to be asked.
    fn without_asking(&self, feed: &Feed, entry: &Entry) -> Option<FeedOutcome> {
        let (now, options) = (self.session.now(), &self.options);
        if !feed.licence.commercial && !options.accept_non_commercial {
            return Some(FeedOutcome::NeedsLicence);
        }
        let due =
            entry.due(feed, now).filter(|_| !options.force && !options.accept_change.contains(&feed.id));
        let next_at = entry.next_allowed(feed, now).max(due)?;
        Some(FeedOutcome::NotDue { next_at })
    }

    async fn bring(&self, feed: &Feed, entry: &mut Entry, tracker: &Tracker) -> Result<FeedOutcome, Error> {
        let Ok(_permit) = self.gate.acquire().await else { return Err(internal("a feed could not wait")) };
        sleep(random_up_to(self.options.jitter)).await;
        let now = self.options.clock.now();
        let file = match self.session.temporary(feed) {
            Ok(file) => file,
            Err(error) => return Ok(FeedOutcome::Failed(error)),
        };
        // Before it is asked, so that whoever stops the update and begins anew does not ask again.
        let asked_before = entry.next_allowed_at;
        entry.asked(feed, now, None);
        self.remember(feed, entry).await?;
        let validators = entry.file.as_ref().and_then(SourceFile::validators);
        let request = Request::new(feed, validators.as_ref(), tracker, now);
        let fetched = self.fetcher.fetch(&request, file).await;
        match &fetched {
            Err(FetchError::Busy { retry_at, .. }) => entry.asked(feed, now, *retry_at),
            Err(error) if !request.was_asked(error) => entry.next_allowed_at = asked_before,
            _ => {}
        }
        match fetched {
            Ok(Fetched::File { file, validators }) => {
                tracker.enter(Stage::Checking);
                let (session, feed, mut judged) = (Arc::clone(&self.session), feed.clone(), entry.clone());
                let (outcome, judged) =
                    blocking(move || (session.take(&feed, &mut judged, &file, validators, now), judged))
                        .await?;
                *entry = judged;
                Ok(outcome)
            }
            Ok(Fetched::Unchanged) => {
                entry.unchanged(now);
                self.session.discard(feed);
                Ok(FeedOutcome::Unchanged)
            }
            Err(error) => {
                self.session.discard(feed);
                Ok(FeedOutcome::Failed(error))
            }
        }
    }
}

/// Random enough to spread machines over a second.
fn random_up_to(most: Duration) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(RandomState::new().hash_one(most) % most.saturating_add(1).max(1))
}

/// Does what waits for the disk or computes for long, on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let failed = |_| Error::new(Code::Internal, "the update was stopped, or met a defect; please report it");
    spawn_blocking(work).await.map_err(failed)
}

//! How far a run has come, for those who watch.

use std::{
    env, io,
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{
    exit::say,
    figures::{grouped, long, rate},
};

/// What is over sooner than this shows no bar.
const BAR_AFTER: Duration = Duration::from_millis(500);
/// How often a bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far a run has come: as a bar on a terminal, else as a line now and then.
pub(super) struct Progress {
    /// How many records are done; others may count.
    pub(super) done: Arc<AtomicU64>,
    /// Of what the records are counted.
    name: String,
    goal: Option<Goal>,
    /// Said to those who wait long enough to be shown anything of the storing.
    pub(super) preface: Option<String>,
    /// `None` when it is to be quiet.
    ticks: Option<Interval>,
    bar: Option<ProgressBar>,
}

/// What there is to do.
struct Goal {
    /// What is done to a record.
    verb: &'static str,
    total: u64,
    /// What was done before.
    from: u64,
    begun: Instant,
}

impl Progress {
    /// Progress through the input `name`; silent when `quiet`.
    pub(super) fn new(name: String, quiet: bool) -> Self {
        let is_terminal =
            io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb");
        let (first, period) = if is_terminal {
            (BAR_AFTER, BAR_EVERY)
        } else {
            (LINE_EVERY, LINE_EVERY)
        };
        let ticks = (!quiet).then(|| {
            let mut ticks = interval_at(Instant::now() + first, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self {
            done: Arc::default(),
            name,
            goal: None,
            preface: None,
            bar: (is_terminal && !quiet).then(hidden_bar),
            ticks,
        }
    }

    /// From now on records are `verb`, as in "stored", `total` of which `from` are done before.
    pub(super) fn begin(&mut self, verb: &'static str, total: u64, from: u64) {
        self.done.store(from, Ordering::Relaxed);
        self.goal = Some(Goal {
            verb,
            total,
            from,
            begun: Instant::now(),
        });
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_style(style("{wide_bar} {msg}"));
        }
    }

    /// How long that takes by now.
    pub(super) fn took(&self) -> Duration {
        (self.goal.as_ref()).map_or(Duration::ZERO, |goal| goal.begun.elapsed())
    }

    /// Waits until it is time to show something new, and shows it.
    pub(super) async fn tick(&mut self) {
        match &mut self.ticks {
            Some(ticks) => ticks.tick().await,
            None => std::future::pending().await,
        };
        if self.goal.is_some()
            && let Some(preface) = self.preface.take()
        {
            self.say(&preface);
        }
        let text = self.text();
        match &self.bar {
            Some(bar) => {
                if bar.is_hidden() {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                bar.set_position(self.done.load(Ordering::Relaxed));
                bar.set_message(text);
                bar.tick();
            }
            None => say(&format!("shippy: {text}")),
        }
    }

    fn text(&self) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let Some(goal) = &self.goal else {
            return format!("{}: {} checked", self.name, grouped(done));
        };
        let Goal {
            verb,
            total,
            from,
            begun,
        } = goal;
        let rate = rate(done - from, begun.elapsed());
        let mut text = format!("{} of {} {verb}", grouped(done), grouped(*total));
        if rate > 0 {
            let left = Duration::from_secs(total.saturating_sub(done).div_ceil(rate));
            text = format!("{text}, {} a second, {} left", grouped(rate), long(left));
        }
        text
    }

    /// Says something that is of no use to those who want quiet.
    pub(super) fn note(&self, text: &str) {
        if self.ticks.is_some() {
            self.say(text);
        }
    }

    /// Says something in a line of its own.
    pub(super) fn say(&self, text: &str) {
        self.aside()(&mut || say(&format!("shippy: {text}")));
    }

    /// What calls a function that prints, with the bar out of its way.
    pub(super) fn aside(&self) -> impl Fn(&mut dyn FnMut()) + Send + use<> {
        let bar = self.bar.clone();
        move |print| match &bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar that is not drawn yet, of something whose end is not known.
fn hidden_bar() -> ProgressBar {
    ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        .with_style(style("{spinner} {msg}"))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

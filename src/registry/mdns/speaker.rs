//! Speaks for a server on one interface over one version of IP: announces it, answers who asks, and says goodbye.
//!
//! It keeps nothing of what it hears, and looks at questions alone, so that no flood makes it grow.

use std::{future::pending, io, net::SocketAddr, time::Duration};

use simple_dns::{Packet, SimpleDnsError};
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{
    group::{MESSAGE_MAX, Member},
    message,
    records::{Choice, Records},
    schedule::{Announcements, Schedule},
};

/// The least delay of an answer that others may give as well, and what chance adds to it (RFC 6762 §6).
const DELAY: Duration = Duration::from_millis(20);
const DELAY_MORE: u16 = 100;
/// How soon a name that is ours is defended again from those who are about to take it (RFC 6762 §6).
const DEFENDED_FOR: Duration = Duration::from_millis(250);

/// One who speaks for a server.
#[derive(Debug)]
pub(super) struct Speaker {
    member: Member,
    port: u16,
    records: Records,
    schedule: Schedule,
    announcements: Announcements,
}

impl Speaker {
    /// Announces `records` as `member`, on the UDP port `port` of multicast DNS.
    pub(super) fn start(member: Member, port: u16, records: Records) -> Self {
        let mut speaker = Self {
            member,
            port,
            schedule: Schedule::new(records.len()),
            announcements: Announcements::default(),
            records,
        };
        speaker.announce(Duration::ZERO);
        speaker.say_pending();
        speaker
    }

    /// Answers until `stop` is dropped, and says goodbye then; ends without it when its socket fails.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut buffer = vec![0; MESSAGE_MAX];
        loop {
            tokio::select! {
                // Whatever comes in, what is due is said, and the end is heard of.
                biased;
                _ = &mut stop => break,
                () = due(self.schedule.due()) => self.say_pending(),
                () = due(self.announcements.due()) => self.announce(Announcements::NOTICE),
                heard = self.member.hear(&mut buffer) => match heard {
                    Ok((length, sender)) => {
                        self.answer(&buffer[..length], sender);
                        // The others of this thread have their turn, however much is asked here.
                        yield_now().await;
                    }
                    Err(error) => return self.failed("hear", &error),
                },
            }
        }
        match self.records.goodbye() {
            Ok(goodbye) => _ = self.sent(self.member.say(&goodbye)),
            Err(error) => self.failed("write", &error),
        }
    }

    /// Answers what `sender` asks, if it is about us.
    fn answer(&mut self, bytes: &[u8], sender: SocketAddr) {
        let Some(query) = message::query(bytes) else {
            return;
        };
        let choice = self.records.answering(&query);
        if choice.is_empty() {
            return;
        }
        let is_defence = !query.name_servers.is_empty();
        // Who claims to be elsewhere is not told himself: it would reach somebody who has not asked.
        let is_near = self.member.link().is_near(sender.ip());
        if is_near && sender.port() != self.port {
            self.tell(self.records.reply(&query, &choice), sender);
        } else if is_defence {
            let was_said = |place| self.schedule.was_said(place, DEFENDED_FOR);
            if !choice.places().any(was_said) {
                self.say(&choice);
            }
        } else if is_near && self.may_be_told_alone(&query, &choice) {
            self.tell(self.records.message(&choice), sender);
        } else {
            let is_shared = self.records.is_shared(&choice);
            let delay = if is_shared { chance() } else { Duration::ZERO };
            self.schedule.add(choice, delay);
        }
    }

    /// Whether whoever asks is content with an answer to himself, and others have heard it lately (RFC 6762 §5.4).
    fn may_be_told_alone(&self, query: &Packet, choice: &Choice) -> bool {
        let was_said_lately = |&place: &usize| {
            let lately = Duration::from_secs(u64::from(self.records.ttl(place)) / 4);
            self.schedule.was_said(place, lately)
        };
        query.questions.iter().all(|asked| asked.unicast_response)
            && choice.answers.iter().all(was_said_lately)
    }

    /// Has all be announced after `delay`, together with what is pending.
    fn announce(&mut self, delay: Duration) {
        self.announcements.begin();
        let announcement = self.records.announcement();
        self.schedule.add(announcement, delay);
    }

    fn say_pending(&mut self) {
        let choice = self.schedule.take();
        let is_sent = self.say(&choice);
        if choice.covers(&self.records.announcement()) {
            self.announcements.note(is_sent);
        }
    }

    /// Says `choice` to the group; whether that was sent.
    fn say(&mut self, choice: &Choice) -> bool {
        let is_sent = match self.records.message(choice) {
            Ok(message) => self.sent(self.member.say(&message)),
            Err(error) => {
                self.failed("write", &error);
                false
            }
        };
        if is_sent {
            self.schedule.note(choice);
        }
        is_sent
    }

    fn tell(&self, message: Result<Vec<u8>, SimpleDnsError>, sender: SocketAddr) {
        match message {
            Ok(message) => _ = self.sent(self.member.tell(&message, sender)),
            Err(error) => self.failed("write", &error),
        }
    }

    /// Whether it was sent. An interface that does not carry what is said is an everyday thing, and said where nobody
    /// finds the server.
    fn sent(&self, result: io::Result<usize>) -> bool {
        let result = result.inspect_err(|error| self.failed("send", error));
        result.is_ok()
    }

    fn failed(&self, what: &str, error: &dyn std::error::Error) {
        let link = &self.member.link().name;
        tracing::debug!(link, is_ipv4 = self.member.is_ipv4(), %error, "could not {what} multicast DNS");
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

fn chance() -> Duration {
    DELAY + Duration::from_millis(u64::from(message::chance() % DELAY_MORE))
}

//! Browsing (RFC 6763 §4): the answers that responders multicast, heard on the multicast DNS port itself.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{
    found::Sighting,
    group::{MEMBERS_MAX, MESSAGE_MAX, Member},
    interfaces::{self, Reach},
    message,
};

/// The pause after the first question. It doubles with each that follows (RFC 6762 §5.2).
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause. The standard would have an hour; interfaces that have come are joined no later than that.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A browse under way; it ends when this is dropped. It keeps nothing of what it hears.
#[derive(Debug)]
pub(super) struct Browse {
    port: u16,
    reach: Reach,
    members: Vec<Member>,
    /// Who is asked first for what was heard: each in turn, or a flood on one interface would drown the others.
    first: usize,
    question: Vec<u8>,
    next_question: Instant,
    pause: Duration,
    buffer: Vec<u8>,
}

impl Browse {
    /// Listens, and asks, on the UDP port `port` of the interfaces within `reach`.
    pub(super) fn start(port: u16, reach: Reach) -> Self {
        let question = message::question(0).unwrap_or_else(|error| {
            tracing::debug!(%error, "could not write the question");
            Vec::new()
        });
        Self {
            port,
            reach,
            members: Vec::new(),
            first: 0,
            question,
            next_question: Instant::now(),
            pause: PAUSE,
            buffer: vec![0; MESSAGE_MAX],
        }
    }

    /// What is said next: the instances that it describes in full, if any.
    ///
    /// Losing the future loses nothing.
    pub(super) async fn next(&mut self) -> Vec<Sighting> {
        loop {
            let next_question = self.next_question;
            tokio::select! {
                sightings = poll_fn(|context| self.poll(context)) => return sightings,
                () = sleep_until(next_question) => self.ask(),
            }
        }
    }

    /// Asks on every interface. An answer that was lost is given to the next question, as none says what is known.
    fn ask(&mut self) {
        self.follow();
        self.next_question = Instant::now() + self.pause;
        self.pause = (2 * self.pause).min(PAUSE_MAX);
        for member in &self.members {
            if let Err(error) = member.say(&self.question) {
                tracing::debug!(link = member.link().name, %error, "could not ask");
            }
        }
    }

    /// Joins the group on the interfaces that have come or changed, and leaves it on those that have gone.
    fn follow(&mut self) {
        let Ok(links) = interfaces::links(self.reach) else {
            return;
        };
        self.members.retain(|member| links.contains(member.link()));
        for link in &links {
            let versions = [
                (true, link.ipv4().next().is_some()),
                (false, link.ipv6().is_some()),
            ];
            for (is_ipv4, _) in versions.into_iter().filter(|(_, has_any)| *has_any) {
                let is_it = |member: &Member| member.link() == link && member.is_ipv4() == is_ipv4;
                if self.members.len() >= MEMBERS_MAX || self.members.iter().any(is_it) {
                    continue;
                }
                match Member::join(link, is_ipv4, self.port) {
                    Ok(member) => self.members.push(member),
                    Err(error) => {
                        tracing::debug!(link = link.name, is_ipv4, %error, "could not listen");
                    }
                }
            }
        }
    }

    /// What one of the members has heard.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Vec<Sighting>> {
        let mut at = 0;
        while at < self.members.len() {
            let index = (self.first + at) % self.members.len();
            let member = &self.members[index];
            match member.poll_hear(context, &mut self.buffer) {
                // RFC 6762 §6: what comes from another port is no answer.
                Poll::Ready(Ok((length, sender))) if sender.port() == self.port => {
                    self.first = index + 1;
                    let answers = message::answers(None, &self.buffer[..length]).into_iter();
                    let link = member.link().index;
                    return Poll::Ready(answers.map(|answer| answer.heard_on(link)).collect());
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    // Joined anew with the next question.
                    tracing::debug!(link = member.link().name, %error, "could not hear");
                    self.members.swap_remove(index);
                }
                Poll::Pending => at += 1,
            }
        }
        Poll::Pending
    }
}

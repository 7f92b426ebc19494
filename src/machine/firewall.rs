//! What the machine's firewall may drop, where its rules may be read: root alone reads them as a rule.

use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

/// What prints the rules: the program, where it usually is, and what it is told.
const PRINTERS: [(&str, &[&str]); 3] = [
    ("/usr/sbin/nft", &["list", "ruleset"]),
    ("/usr/sbin/iptables-save", &[]),
    ("/usr/sbin/ip6tables-save", &[]),
];
/// How long one of them may take: milliseconds, unless there are very many rules.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many rules are of interest: whoever wrote more of them knows where to look.
const RULES_MAX: usize = 5;
/// Longest rule that is shown, in characters.
const RULE_MAX: usize = 160;

/// What is known of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// They may not be read from here, or there is no program that prints them.
    Unreadable,
    /// They were read, and these may drop multicast DNS.
    Read(Vec<String>),
}

/// The rules that may drop multicast DNS.
pub async fn rules() -> Rules {
    let mut found: Vec<String> = Vec::new();
    let mut is_read = false;
    for (program, arguments) in PRINTERS {
        let Some(text) = printed(program, arguments).await else {
            continue;
        };
        is_read = true;
        for rule in suspects(&text) {
            if found.len() < RULES_MAX && !found.contains(&rule) {
                found.push(rule);
            }
        }
    }
    if is_read {
        Rules::Read(found)
    } else {
        Rules::Unreadable
    }
}

async fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.ok()?.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The lines of `text` that drop something which multicast DNS may be, as nftables and iptables print them.
fn suspects(text: &str) -> impl Iterator<Item = String> {
    let is_suspect = |line: &&str| {
        let line = line.to_ascii_lowercase();
        let drops = ["drop", "reject"].iter().any(|word| line.contains(word));
        let words = [
            "5353",
            "224.0.0.",
            "ff02::",
            "mdns",
            "multicast",
            "policy drop",
        ];
        let chains = [":input drop", ":output drop"];
        // What is passed on for others is none of ours.
        let is_ours = !line.contains("hook forward");
        drops && is_ours && words.iter().chain(&chains).any(|word| line.contains(word))
    };
    let cut = |line: &str| line.trim().chars().take(RULE_MAX).collect();
    text.lines().filter(is_suspect).map(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_drop_multicast_dns_are_seen_and_others_are_not() {
        let text = "table inet filter {
            chain input {
                type filter hook input priority filter; policy drop;
                type filter hook forward priority filter; policy drop;
                udp dport 5353 accept
                tcp dport 22 drop
                udp dport 5353 counter packets 1 bytes 60 drop
            }
        }
:INPUT DROP [0:0]
-A INPUT -d 224.0.0.251/32 -j DROP
-A INPUT -p udp -m udp --dport 53 -j REJECT
";
        let found: Vec<String> = suspects(text).collect();
        let expected = [
            "type filter hook input priority filter; policy drop;",
            "udp dport 5353 counter packets 1 bytes 60 drop",
            ":INPUT DROP [0:0]",
            "-A INPUT -d 224.0.0.251/32 -j DROP",
        ];
        assert_eq!(found, expected);
    }
}

//! Parsing of policy files (c2sp.org/tlog-policy, `docs/spec/integrity.md#log-policy`).

use std::collections::{HashMap, HashSet};
use std::mem;

use crate::log::line::decimal;
use crate::log::note::{SignatureType, VerifierKey};
use crate::log::policy::{Group, Member, Policy, PolicyError, Witness};

/// The lines parsed so far.
#[derive(Default)]
struct Parser<'t> {
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
    has_quorum: bool,
    names: HashMap<&'t [u8], Member>,
    /// The names that are a member of a group. A name can be a member of one group only.
    members: HashSet<&'t [u8]>,
}

impl Policy {
    /// Parses a policy file. The last line may lack its newline.
    ///
    /// Fails on
    /// - a file longer than [`Policy::MAX_BYTES`], or a control character other than tab and newline;
    /// - an unknown keyword, or the wrong number of words;
    /// - a vkey of a log that is not of type 0x01, or of a witness that is not of type 0x04;
    /// - a public key that occurs twice among the logs or twice among the witnesses;
    /// - a name that is defined twice or is `none`, or that is used before it is defined;
    /// - a group without members, with a threshold that is not from 1 to their number, or with a member of another
    ///   group;
    /// - a missing or a second quorum line.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        let fail = |line, problem| PolicyError { line, problem };
        if file.len() > Self::MAX_BYTES {
            return Err(fail(1, "the file exceeds 256 KiB".into()));
        }
        let (mut parser, mut count) = (Parser::default(), 0);
        for line in file.strip_suffix(b"\n").unwrap_or(file).split(|byte| *byte == b'\n') {
            count += 1;
            parser.line(line).map_err(|problem| fail(count, problem))?;
        }
        let Parser { logs, witnesses, groups, quorum, has_quorum, .. } = parser;
        if !has_quorum {
            return Err(fail(count + 1, "missing quorum line".into()));
        }
        let of_logs = logs.iter().flat_map(|key| [key.clone(), key.with_type(SignatureType::Cosignature)]);
        let keys = of_logs.chain(witnesses.iter().map(|witness| witness.key.clone())).collect();
        Ok(Self { logs, witnesses, groups, quorum, keys })
    }
}

impl<'t> Parser<'t> {
    fn line(&mut self, line: &'t [u8]) -> Result<(), String> {
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err("control character other than tab".into());
        }
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let Some(keyword) = words.next().filter(|word| !word.starts_with(b"#")) else { return Ok(()) };
        let words: Vec<&'t [u8]> = words.collect();
        match (keyword, words.as_slice()) {
            (b"log", [key, url @ ..]) => self.log(key, url),
            (b"witness", [name, key, url @ ..]) => self.witness(name, key, url),
            (b"group", [name, threshold, members @ ..]) => self.group(name, threshold, members),
            (b"quorum", [name]) => self.quorum(name),
            (b"log" | b"witness" | b"group" | b"quorum", _) => {
                Err(format!("wrong number of words for {}", keyword.escape_ascii()))
            }
            _ => Err(format!("unknown keyword {}: expected log, witness, group or quorum", keyword.escape_ascii())),
        }
    }

    fn log(&mut self, key: &[u8], url: &[&[u8]]) -> Result<(), String> {
        let key = verifier_key(key, SignatureType::Ed25519)?;
        if self.logs.iter().any(|log| log.public() == key.public()) {
            return Err("the public key is used by another log".into());
        }
        // The URL of a log is allowed, and not used.
        optional_url(url)?;
        self.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &'t [u8], key: &[u8], url: &[&[u8]]) -> Result<(), String> {
        let key = verifier_key(key, SignatureType::Cosignature)?;
        if self.witnesses.iter().any(|witness| witness.key.public() == key.public()) {
            return Err("the public key is used by another witness".into());
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: name.to_owned(), key, url: optional_url(url)? });
        Ok(())
    }

    fn group(&mut self, name: &'t [u8], threshold: &[u8], names: &[&'t [u8]]) -> Result<(), String> {
        if names.is_empty() {
            return Err("a group needs at least one member".into());
        }
        let mut members = Vec::with_capacity(names.len());
        for member in names {
            members.push(self.defined(member)?);
            if !self.members.insert(member) {
                return Err(format!("{} is already a member of a group", member.escape_ascii()));
            }
        }
        let count = names.len() as u64;
        let threshold = match threshold {
            b"any" => Some(1),
            b"all" => Some(count),
            digits => {
                str::from_utf8(digits).ok().and_then(|digits| decimal(digits, count)).filter(|number| *number > 0)
            }
        };
        let threshold =
            threshold.ok_or_else(|| format!("invalid threshold: expected any, all or a number from 1 to {count}"))?;
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members });
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), String> {
        if mem::replace(&mut self.has_quorum, true) {
            return Err("second quorum line".into());
        }
        self.quorum = if name == b"none" { None } else { Some(self.defined(name)?) };
        Ok(())
    }

    fn define(&mut self, name: &'t [u8], member: Member) -> Result<(), String> {
        if name == b"none" || self.names.insert(name, member).is_some() {
            return Err(format!("the name {} is reserved or already defined", name.escape_ascii()));
        }
        Ok(())
    }

    fn defined(&self, name: &[u8]) -> Result<Member, String> {
        let member = self.names.get(name).copied();
        member.ok_or_else(|| format!("{} is not defined on an earlier line", name.escape_ascii()))
    }
}

fn verifier_key(text: &[u8], expected: SignatureType) -> Result<VerifierKey, String> {
    let text = str::from_utf8(text).map_err(|_| "the vkey is not UTF-8".to_owned())?;
    let key: VerifierKey = text.parse().map_err(|error| format!("{error}"))?;
    if key.signature_type() == expected {
        return Ok(key);
    }
    Err(match expected {
        SignatureType::Ed25519 => "the vkey of a log must be of type 0x01 (Ed25519)",
        SignatureType::Cosignature => "the vkey of a witness must be of type 0x04 (cosignature/v1)",
    }
    .into())
}

fn optional_url(url: &[&[u8]]) -> Result<Option<Vec<u8>>, String> {
    match url {
        [] => Ok(None),
        [url] => Ok(Some((*url).to_owned())),
        _ => Err("more than one word after the vkey".into()),
    }
}

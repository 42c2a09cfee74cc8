//! Reading a policy file.

use std::collections::{HashMap, HashSet};

use crate::log::line::decimal;
use crate::log::note::{SignatureType, VerifierKey};
use crate::log::policy::{Group, Log, Member, Policy, PolicyError, Wanted, Witness};

/// What a line is refused for.
type Problem = String;

#[derive(Default)]
struct Reading<'t> {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Wanted>,
    names: HashMap<&'t [u8], Member>,
    /// Names that are a group's member already.
    members: HashSet<&'t [u8]>,
}

impl Policy {
    /// The policy of this file. A last line without a newline is taken.
    ///
    /// Refused: more than [`Policy::MAX_BYTES`]; a control character but tab and newline; an unknown keyword, a word too few or
    /// too many; a log's vkey that is not of type 0x01, a witness's that is not of type 0x04; a public key twice among the logs
    /// or among the witnesses; a name twice, or `none` for one; a name that no line before defines; a group without members,
    /// with a threshold above their number or of 0, with a member that a group has already; no quorum, or a second one.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        let fail = |line, problem| PolicyError { line, problem };
        if file.len() > Self::MAX_BYTES {
            return Err(fail(1, "the file is longer than 256 KiB".into()));
        }
        let (mut reading, mut count) = (Reading::default(), 0);
        for line in file.strip_suffix(b"\n").unwrap_or(file).split(|byte| *byte == b'\n') {
            count += 1;
            reading.line(line).map_err(|problem| fail(count, problem))?;
        }
        let Reading { logs, witnesses, groups, quorum, .. } = reading;
        let quorum = quorum.ok_or_else(|| fail(count + 1, "no line says the quorum".into()))?;
        let of_logs = logs.iter().flat_map(|log| [log.key.clone(), log.key.with_type(SignatureType::Cosignature)]);
        let keys = of_logs.chain(witnesses.iter().map(|witness| witness.key.clone())).collect();
        Ok(Self { logs, witnesses, groups, quorum, keys })
    }
}

impl<'t> Reading<'t> {
    fn line(&mut self, line: &'t [u8]) -> Result<(), Problem> {
        if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err("a control character other than a tab".into());
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
                Err(format!("a word too few or too many for {}", keyword.escape_ascii()))
            }
            _ => Err(format!("{} is neither log, witness, group nor quorum", keyword.escape_ascii())),
        }
    }

    fn log(&mut self, key: &[u8], url: &[&[u8]]) -> Result<(), Problem> {
        let key = verifier_key(key, SignatureType::Ed25519)?;
        if self.logs.iter().any(|log| log.key.public() == key.public()) {
            return Err("another log has this public key".into());
        }
        self.logs.push(Log { key, url: optional(url)? });
        Ok(())
    }

    fn witness(&mut self, name: &'t [u8], key: &[u8], url: &[&[u8]]) -> Result<(), Problem> {
        let key = verifier_key(key, SignatureType::Cosignature)?;
        if self.witnesses.iter().any(|witness| witness.key.public() == key.public()) {
            return Err("another witness has this public key".into());
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: name.to_owned(), key, url: optional(url)? });
        Ok(())
    }

    fn group(&mut self, name: &'t [u8], threshold: &[u8], names: &[&'t [u8]]) -> Result<(), Problem> {
        if names.is_empty() {
            return Err("a group has members".into());
        }
        let mut members = Vec::with_capacity(names.len());
        for member in names {
            members.push(self.defined(member)?);
            if !self.members.insert(member) {
                return Err(format!("{} is a group's member already", member.escape_ascii()));
            }
        }
        let count = names.len() as u64;
        let threshold = match threshold {
            b"any" => Some(1),
            b"all" => Some(count),
            digits => str::from_utf8(digits).ok().and_then(|digits| decimal(digits, count)),
        };
        let threshold = threshold.filter(|threshold| *threshold > 0);
        let threshold = threshold.ok_or_else(|| format!("a threshold is any, all or a number from 1 to {count}"))?;
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members });
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), Problem> {
        if self.quorum.is_some() {
            return Err("a second quorum".into());
        }
        self.quorum = Some(if name == b"none" { Wanted::Nobody } else { Wanted::Member(self.defined(name)?) });
        Ok(())
    }

    fn define(&mut self, name: &'t [u8], member: Member) -> Result<(), Problem> {
        if name == b"none" || self.names.insert(name, member).is_some() {
            return Err(format!("the name {} is taken", name.escape_ascii()));
        }
        Ok(())
    }

    fn defined(&self, name: &[u8]) -> Result<Member, Problem> {
        let member = self.names.get(name).copied();
        member.ok_or_else(|| format!("no line before defines {}", name.escape_ascii()))
    }
}

fn verifier_key(text: &[u8], wanted: SignatureType) -> Result<VerifierKey, Problem> {
    let text = str::from_utf8(text).map_err(|_| "the vkey is not UTF-8".to_owned())?;
    let key: VerifierKey = text.parse().map_err(|error| format!("{error}"))?;
    if key.signature_type() == wanted {
        return Ok(key);
    }
    Err(match wanted {
        SignatureType::Ed25519 => "a log's vkey is of type 0x01, Ed25519",
        SignatureType::Cosignature => "a witness's vkey is of type 0x04, cosignature/v1",
    }
    .into())
}

fn optional(url: &[&[u8]]) -> Result<Option<Vec<u8>>, Problem> {
    match url {
        [] => Ok(None),
        [url] => Ok(Some((*url).to_owned())),
        _ => Err("more than a URL behind the key".into()),
    }
}

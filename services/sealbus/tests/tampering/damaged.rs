//! Bundles with random damage: both implementations report the same findings, and neither crashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::bundles::{both, export, trust};
use crate::scene::{Scene, findings_in};

/// Number of damaged bundles of each kind. `SEALBUS_DAMAGED=1000` tests more.
const BUNDLES: usize = 25;

#[tokio::test]
async fn both_implementations_agree_on_damaged_bundles() {
    if Command::new("python3").arg("--version").output().is_err() {
        return println!("SKIPPED: python3 is not installed");
    }
    let times = std::env::var("SEALBUS_DAMAGED").ok().and_then(|times| times.parse().ok()).unwrap_or(BUNDLES);
    let scene = Scene::start().await;
    let trust = trust(&scene);
    let mut rng = Rng::with_seed(39);
    for scope in [["--all"].as_slice(), &["--tenant", "acme"]] {
        let bundle = PathBuf::from(export(&scene, scope, &format!("whole{}", scope.len())));
        for _ in 0..times {
            let damaged = scene.path("damaged");
            copy(&bundle, &damaged);
            let changes: Vec<String> = (0..rng.usize(1..4)).map(|_| damage(&mut rng, &damaged)).collect();
            let [first, second] = verify_with_both(&scene, &damaged, &trust);
            assert_eq!(first, second, "the implementations disagree: {scope:?}, {changes:#?}");
            fs::remove_dir_all(damaged).unwrap();
        }
    }
}

/// Verifies a bundle with both implementations. Returns the findings, unless it cannot be read, and the exit code of each.
fn verify_with_both(scene: &Scene, bundle: &Path, trust: &str) -> [(Vec<(String, String)>, i32); 2] {
    let [first, second] = both(scene, &bundle.display().to_string(), trust, &[]).try_into().unwrap();
    [first, second].map(|mut verify| {
        let output = verify.output().unwrap();
        if output.status.code() == Some(1) { (Vec::new(), 1) } else { findings_in(&output) }
    })
}

/// Makes one random change, and describes it.
fn damage(rng: &mut Rng, bundle: &Path) -> String {
    let files = files(bundle);
    let file = &files[rng.usize(..files.len())];
    let name = file.strip_prefix(bundle).unwrap().display().to_string();
    let mut bytes = fs::read(file).unwrap();
    let change = if name == "events.jsonl" && rng.u8(..10) > 0 {
        let mut lines: Vec<String> = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
        let change = damage_lines(rng, &mut lines);
        bytes = lines.join("\n").into_bytes();
        change
    } else {
        damage_bytes(rng, &mut bytes)
    };
    fs::write(file, bytes).unwrap();
    format!("{name}: {change}")
}

fn damage_lines(rng: &mut Rng, lines: &mut Vec<String>) -> String {
    if lines.is_empty() {
        return "no lines left".into();
    }
    let (index, other) = (rng.usize(..lines.len()), rng.usize(..lines.len()));
    match rng.u8(..6) {
        0 => format!("removed: {}", lines.remove(index)),
        1 => {
            lines.insert(other, lines[index].clone());
            format!("line {index} repeated at {other}")
        }
        2 => {
            lines.swap(index, other);
            format!("lines {index} and {other} swapped")
        }
        _ => {
            let (Ok(mut record), Ok(another)) = (
                serde_json::from_str::<Map<String, Value>>(&lines[index]),
                serde_json::from_str::<Map<String, Value>>(&lines[other]),
            ) else {
                return "line is not a record".into();
            };
            let members: Vec<String> = record.keys().cloned().collect();
            let Some(member) = rng.choice(members) else { return "record is empty".into() };
            let value = match rng.u8(..4) {
                0 => another.get(&member).cloned(),
                1 => None,
                2 => rng.choice(odd_values()),
                _ => record.get(&member).map(|value| changed(rng, value)),
            };
            let change = format!("line {index}: {member} is {value:?}");
            match value {
                Some(value) => drop(record.insert(member, value)),
                None => drop(record.remove(&member)),
            }
            lines[index] = Value::Object(record).to_string();
            change
        }
    }
}

/// Returns values that no member of a record expects.
fn odd_values() -> Vec<Value> {
    let times = ["1970-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"];
    let texts = ["", "a|b", "é", "\0", "hash-only", "encrypted", "hmac-0000000000000000", times[0], times[1]];
    let numbers = [json!(0), json!(-1), json!(1.5), json!(1_u64 << 53), json!(u64::MAX), json!(1e300)];
    let odd = [json!(null), json!(true), json!([]), json!({}), json!("0".repeat(64))];
    texts.map(Value::from).into_iter().chain(numbers).chain(odd).collect()
}

fn changed(rng: &mut Rng, value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_i64().unwrap_or(0) + rng.i64(-2..3)),
        Value::String(text) if !text.is_empty() => {
            let mut characters: Vec<char> = text.chars().collect();
            let index = rng.usize(..characters.len());
            characters[index] = rng.choice(['0', '9', 'a', 'A', 'f', 'é', '\\', '"', ' ', '\n']).unwrap();
            json!(String::from_iter(characters))
        }
        other => other.clone(),
    }
}

fn damage_bytes(rng: &mut Rng, bytes: &mut Vec<u8>) -> String {
    let at = rng.usize(..=bytes.len());
    match rng.u8(..4) {
        0 if at < bytes.len() => {
            bytes[at] ^= 1 << rng.u8(..8);
            format!("a bit of byte {at}")
        }
        1 if at < bytes.len() => {
            bytes.remove(at);
            format!("byte {at} gone")
        }
        2 => {
            bytes.insert(at, *rng.choice(b"\n \0a\xff+=").unwrap());
            format!("a byte at {at}")
        }
        _ => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let copy = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(file, copy).unwrap();
    }
}

//! Tests of the stored tree. Appending batch by batch gives the tree over all leaves, proofs and tiles are read from it, a signed
//! checkpoint continues the anchored one, and a manual change of the stored rows stops sealing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use sealbus_core::hash::Hash;
use sealbus_core::log::checkpoint::{Checkpoint, SignedCheckpoint};
use sealbus_core::log::merkle::{RightEdge, empty_root, verify_consistency, verify_inclusion};
use sealbus_core::log::note::Note;
use sealbus_core::log::signer::LogSigner;
use sealbus_core::log::tile::{TileId, TileKind};
use sealbus_ledger::log::{Sealed, SealingState, Signing};
use sealbus_ledger::{Ledger, LedgerError};
use sealbus_testkit::events::numbered as draft;
use sealbus_testkit::ledger::{ORIGIN, call};
use sealbus_testkit::{Postgres, TestLedger, eventually};
use sqlx::{Connection, PgConnection};

fn signer(test: &TestLedger) -> LogSigner {
    LogSigner::new(&test.keyring, ORIGIN).unwrap()
}

fn empty() -> Checkpoint {
    Checkpoint::new(ORIGIN, 0, empty_root()).unwrap()
}

fn checkpoint(note: &Note) -> Checkpoint {
    note.text().parse().unwrap()
}

async fn append(test: &TestLedger, plans: u64, events: u64) {
    let appender = test.appender().await;
    for plan in 0..plans {
        appender.append(call("acme", &format!("order-{plan}"), (0..events).map(draft).collect())).await.unwrap();
    }
}

async fn seal(ledger: &Ledger, limit: u32, signing: Option<Signing<'_>>) -> Result<Sealed, LedgerError> {
    ledger.log().seal_batch(limit, &mut SealingState::default(), signing).await
}

async fn leaf_hashes(test: &TestLedger) -> Vec<Hash> {
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT leaf_hash FROM sealbus.log_leaves ORDER BY leaf_index")
        .fetch_all(&mut PgConnection::connect(&test.postgres.admin_url()).await.unwrap())
        .await
        .unwrap();
    rows.iter().map(|(hash,)| Hash::from_slice(hash).unwrap()).collect()
}

/// Changes rows as a superuser, with the triggers disabled.
async fn tamper(test: &TestLedger, change: &str) {
    test.postgres.admin(&format!("SET session_replication_role = replica; {change}")).await;
}

/// Returns the root of the tree over these leaves, computed in memory.
fn root(leaves: &[Hash]) -> Hash {
    let mut edge = RightEdge::default();
    for leaf in leaves {
        edge.append(*leaf, |_, _| ()).unwrap();
    }
    edge.root()
}

#[tokio::test]
async fn a_tree_built_in_batches_is_the_tree_over_all_leaves() {
    let test = TestLedger::start().await;
    let (ledger, signer) = (&test.ledger, signer(&test));
    append(&test, 40, 17).await;
    let (mut anchored, mut notes) = (empty(), Vec::new());
    for limit in [1, 2, 255, 1, 200, 100, 1_000].into_iter().cycle() {
        let signing = Signing { signer: &signer, anchored: &anchored, time: 1_000 };
        let Some(note) = seal(ledger, limit, Some(signing)).await.unwrap().note else { break };
        anchored = checkpoint(&note);
        notes.push(note);
    }
    let leaves = leaf_hashes(&test).await;
    assert_eq!(leaves.len(), 40 * 17 + 1, "40 plans with 17 events each, and the first event of _keys");
    assert_eq!((anchored.size(), anchored.root()), (leaves.len() as u64, root(&leaves)));
    let key = signer.verifier_key();
    for note in &notes {
        let opened = SignedCheckpoint::open(note, ORIGIN, std::slice::from_ref(&key)).unwrap();
        let (size, now) = (opened.checkpoint().size(), ledger.log().newest_tree().await.unwrap());
        assert_eq!(opened.checkpoint().root(), root(&leaves[..usize::try_from(size).unwrap()]));
        assert_eq!(ledger.log().root_by_tiles(size).await.unwrap(), Some(opened.checkpoint().root()));
        let proof = ledger.log().consistency_proof(size, now.size).await.unwrap().unwrap();
        verify_consistency(size, now.size, &proof, &opened.checkpoint().root(), &now.root).unwrap();
    }
    for index in [0, 1, 255, 256, 511, 679, 680] {
        let proof = ledger.log().inclusion_proofs(&[index], 681).await.unwrap().unwrap().remove(0);
        let leaf = leaves[usize::try_from(index).unwrap()];
        verify_inclusion(&leaf, index, 681, &proof, &anchored.root()).unwrap();
    }
    assert_eq!(ledger.log().inclusion_proofs(&[681], 681).await.unwrap(), None);
    for id in TileId::all(TileKind::Hashes(0), 681).chain([TileId::new(TileKind::Hashes(0), 2, 3).unwrap()]) {
        let start = usize::try_from(id.n()).unwrap() * 256;
        let tile = ledger.log().hash_tile(id).await.unwrap().unwrap();
        assert_eq!(tile.hashes(), &leaves[start..start + usize::from(id.width())], "{id}");
    }
    assert_eq!(ledger.log().hash_tile(TileId::new(TileKind::Hashes(0), 2, 200).unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn leaves_without_a_tree_are_added_to_it_before_new_ones() {
    let test = TestLedger::start().await;
    append(&test, 3, 5).await;
    while seal(&test.ledger, 4, None).await.unwrap().leaves > 0 {}
    tamper(&test, "TRUNCATE sealbus.log_roots, sealbus.tiles").await;
    append(&test, 1, 3).await;
    let caught_up = seal(&test.ledger, 100, None).await.unwrap();
    assert_eq!((caught_up.leaves, test.ledger.log().newest_tree().await.unwrap().size), (16, 16));
    assert_eq!(seal(&test.ledger, 100, None).await.unwrap().leaves, 3);
    assert_eq!(test.ledger.log().newest_tree().await.unwrap().root, root(&leaf_hashes(&test).await));
}

#[tokio::test]
async fn a_tree_that_does_not_continue_the_anchor_is_not_signed() {
    let test = TestLedger::start().await;
    let signer = signer(&test);
    append(&test, 1, 5).await;
    let elsewhere = Checkpoint::new(ORIGIN, 2, Hash::of(b"another history")).unwrap();
    let ahead = Checkpoint::new(ORIGIN, 1_000, Hash::of(b"a longer one")).unwrap();
    for anchored in [&elsewhere, &ahead] {
        let refused = seal(&test.ledger, 100, Some(Signing { signer: &signer, anchored, time: 1 })).await;
        assert!(matches!(refused, Err(LedgerError::Log(_))), "{refused:?}");
        assert_eq!(test.ledger.log().size().await.unwrap(), 0, "events were sealed");
        let (log, signing) = (test.ledger.log(), Signing { signer: &signer, anchored, time: 1 });
        assert!(log.sign_newest(signing, &log.basis().await.unwrap()).await.is_err());
    }
    let anchored = empty();
    let sealed =
        seal(&test.ledger, 100, Some(Signing { signer: &signer, anchored: &anchored, time: 1 })).await.unwrap();
    assert_eq!(checkpoint(&sealed.note.unwrap()).size(), 6);
}

#[tokio::test]
async fn a_changed_tree_does_not_grow() {
    for change in [
        "UPDATE sealbus.tiles SET hashes = overlay(hashes placing sha256('x') from 33)",
        "UPDATE sealbus.log_roots SET root = sha256('x')",
        "DELETE FROM sealbus.tiles",
        "DELETE FROM sealbus.log_leaves WHERE leaf_index > 2",
    ] {
        let test = TestLedger::start().await;
        append(&test, 1, 5).await;
        seal(&test.ledger, 100, None).await.unwrap();
        tamper(&test, change).await;
        append(&test, 1, 1).await;
        let sealed = seal(&test.ledger, 100, None).await;
        assert!(sealed.as_ref().map_or(true, |sealed| sealed.leaves == 0), "{change}: {sealed:?}");
    }
}

#[tokio::test]
async fn roots_can_be_deleted_except_for_the_first_and_the_newest_signed_one() {
    let test = TestLedger::start().await;
    let (ledger, signer) = (&test.ledger, signer(&test));
    ledger.log().begin(&signer, 1_000).await.unwrap();
    append(&test, 1, 9).await;
    let anchored = empty();
    let signing = Signing { signer: &signer, anchored: &anchored, time: 1_000 };
    for _ in 0..3 {
        seal(ledger, 2, Some(signing)).await.unwrap();
    }
    seal(ledger, 2, None).await.unwrap();
    for kept in [0, 6, 8] {
        let refused = ledger.log().delete_roots(&[2, kept]).await.unwrap_err().to_string();
        assert_eq!(
            test.postgres.count("SELECT count(*) FROM sealbus.log_roots").await,
            5,
            "root {kept} was deleted: {refused}"
        );
    }
    ledger.log().delete_roots(&[2, 4, 5]).await.unwrap();
    let sizes = "SELECT sum(size)::bigint FROM sealbus.log_roots";
    assert_eq!(test.postgres.count(sizes).await, 6 + 8);
    assert!(ledger.log().newest_note().await.unwrap().unwrap().starts_with(&format!("{ORIGIN}\n6\n")));

    // Sealing goes on, and the tree is the one over all leaves.
    assert_eq!(seal(ledger, 100, Some(signing)).await.unwrap().leaves, 2);
    assert_eq!(ledger.log().newest_tree().await.unwrap().root, root(&leaf_hashes(&test).await));
}

#[tokio::test]
async fn the_first_checkpoint_is_created_once() {
    let test = TestLedger::start().await;
    let (ledger, signer) = (&test.ledger, signer(&test));
    assert_eq!(ledger.log().first_checkpoint().await.unwrap(), None);
    let (first, new) = ledger.log().begin(&signer, 1_000).await.unwrap();
    assert!(new && checkpoint(&first) == empty());
    assert_eq!(ledger.log().begin(&signer, 2_000).await.unwrap(), (first.clone(), false));
    assert_eq!(ledger.log().first_checkpoint().await.unwrap(), Some(first.clone()));
    ledger.log().show_checkpoint(0, &first).await.unwrap();
    append(&test, 1, 1).await;
    seal(ledger, 100, None).await.unwrap();
    let anchored = empty();
    let signing = Signing { signer: &signer, anchored: &anchored, time: 3_000 };
    let newest = ledger.log().sign_newest(signing, &ledger.log().basis().await.unwrap()).await.unwrap().unwrap();
    ledger.log().show_checkpoint(2, &newest).await.unwrap();
    ledger.log().show_checkpoint(0, &first).await.unwrap();
    let shown = ledger.log().shown_checkpoint().await.unwrap().unwrap();
    assert_eq!(shown, (2, newest.to_string()), "a smaller checkpoint replaced a larger one");
}

#[tokio::test]
async fn a_sealer_does_nothing_after_another_one_has_sealed_until_it_knows_the_new_tree() {
    let test = TestLedger::start().await;
    let (log, signer, anchored) = (test.ledger.log(), signer(&test), empty());
    let signing = || Signing { signer: &signer, anchored: &anchored, time: 1_000 };
    append(&test, 1, 5).await;
    let basis = log.basis().await.unwrap();
    let mut state = SealingState::new(basis.clone());

    // Its own transactions move the basis with the tree.
    for _ in 0..2 {
        let sealed = log.seal_batch(2, &mut state, Some(signing())).await.unwrap();
        assert_eq!((sealed.leaves, sealed.basis_changed), (2, false));
        assert_eq!(state.basis(), Some(&log.basis().await.unwrap()));
    }
    assert_eq!(log.sign_newest(signing(), &basis).await.unwrap(), None, "an old basis was signed on");
    assert!(log.sign_newest(signing(), state.basis().unwrap()).await.unwrap().is_some());

    // Those of another sealer do not.
    test.seal().await;
    append(&test, 1, 1).await;
    let sealed = log.seal_batch(100, &mut state, Some(signing())).await.unwrap();
    assert_eq!((sealed.leaves, sealed.basis_changed, sealed.note), (0, true, None));
    assert_eq!(log.sign_newest(signing(), state.basis().unwrap()).await.unwrap(), None);
    let mut state = SealingState::new(log.basis().await.unwrap());
    assert_eq!(log.seal_batch(100, &mut state, Some(signing())).await.unwrap().leaves, 1);
}

#[tokio::test]
async fn a_basis_does_not_outlive_a_restart_of_the_server() {
    let mut test = TestLedger::create(Postgres::own_cluster().await, ORIGIN).await;
    let mut state = SealingState::new(test.ledger.log().basis().await.unwrap());
    test.postgres.kill().await;
    test.postgres.restart().await;
    test.ledger = test.open_again().await;
    assert!(test.ledger.log().seal_batch(100, &mut state, None).await.unwrap().basis_changed);
}

/// A tree can be in the database although its commit ended with a warning. It is not signed until the standbys have it.
#[tokio::test]
async fn a_tree_that_synchronous_standbys_may_lack_is_not_signed() {
    let test = TestLedger::create(Postgres::own_cluster().await, ORIGIN).await;
    let (signer, anchored) = (signer(&test), empty());
    append(&test, 1, 5).await;
    seal(&test.ledger, 100, None).await.unwrap();
    let basis = test.ledger.log().basis().await.unwrap();
    let sign = || {
        let signing = Signing { signer: &signer, anchored: &anchored, time: 1_000 };
        test.ledger.log().sign_newest(signing, &basis)
    };

    test.postgres.admin("ALTER SYSTEM SET synchronous_standby_names = 'missing'").await;
    test.postgres.admin("SELECT pg_reload_conf()").await;
    eventually("commits wait for the standby", async || {
        let shown = "SELECT count(*) FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = 'missing'";
        test.postgres.count(shown).await == 1
    })
    .await;
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let cancelled = eventually("a commit waits and is cancelled", async || test.postgres.count(cancel).await == 1);
    let (result, ()) = tokio::join!(sign(), cancelled);
    assert!(matches!(result, Err(LedgerError::OutcomeUnknown(_))), "{result:?}");

    test.postgres.admin("ALTER SYSTEM RESET synchronous_standby_names").await;
    test.postgres.admin("SELECT pg_reload_conf()").await;
    eventually("the tree is signed", async || sign().await.is_ok_and(|note| note.is_some())).await;
}

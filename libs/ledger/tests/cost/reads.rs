//! Reads cost in proportion to what they return, however long the plan, the log or the list of plans is.

use sealbus_core::names::{Subscription, TypePattern};
use sealbus_core::seal::Keyring;
use sealbus_ledger::delivery::subscriptions::Start;
use sealbus_ledger::history::{MAX_EXAMINED, PageQuery, Scope};
use sealbus_testkit::ledger::{plan, tenant};
use uuid::Uuid;

use crate::tables::Tables;

const EVENTS: u32 = 30_000;

fn types(pattern: &str) -> Vec<TypePattern> {
    vec![TypePattern::parse(pattern).unwrap()]
}

/// Starts a ledger with one long, sealed plan whose event 25,000 is the only one of type `rare.event`.
async fn start_with_a_long_plan() -> Tables {
    let tables = Tables::start().await;
    let event_type = "CASE seq WHEN 25000 THEN 'rare.event' ELSE 'test.happened' END";
    let long = tables.add_plan("acme", "long", EVENTS, event_type, "'{}'").await;
    tables.seal(long).await;
    tables.sql("ANALYZE").await;
    tables
}

#[tokio::test]
async fn a_page_of_a_long_plan_reads_the_rows_that_it_returns() {
    let tables = start_with_a_long_plan().await;
    for (after_seq, descending) in [(0, false), (15_000, false), (0, true), (15_000, true)] {
        let query = PageQuery { after_seq, limit: 100, descending, ..PageQuery::default() };
        let (page, rows) =
            tables.cost(async |ledger| ledger.history().page(&tenant("acme"), &plan("long"), &query).await).await;
        let page = page.unwrap();
        assert_eq!((page.records.len(), page.head), (100, u64::from(EVENTS)));
        assert!(rows < 500, "{rows} rows were read for a page of 100 events: {query:?}");
    }
}

/// A read that ends because of the size of its events must not make the server read those after them.
#[tokio::test]
async fn a_read_of_large_events_reads_only_those_that_it_returns() {
    let tables = Tables::start().await;
    let payload = "to_json((SELECT string_agg(md5(seq::text || '/' || n::text), '') FROM generate_series(1, 6000) n))";
    let large = tables.add_plan("acme", "large", 100, "'test.happened'", payload).await;
    let sizes = "SET session_replication_role = replica;
                 UPDATE sealbus.events SET payload_size = octet_length(payload::text)";
    tables.sql(sizes).await;
    tables.seal(large).await;
    let (acme, plan) = (tenant("acme"), plan("large"));
    let query = PageQuery { limit: 100, ..PageQuery::default() };
    let (mut ids, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let page = tables.ledger().await.history().log_page(None, from, 100).await.unwrap();
        ids.extend(page.records.iter().map(|record| record.header.event_id));
        next = page.next;
    }
    let (read, chunks) = tables
        .chunks(async |ledger| {
            let history = ledger.history();
            let range = history.range(large, 1, 100, 100).await.unwrap().len();
            let page = history.page(&acme, &plan, &query).await.unwrap();
            let last = history.page(&acme, &plan, &PageQuery { descending: true, ..query.clone() }).await.unwrap();
            let log = history.log_page(None, 0, 100).await.unwrap();
            assert!(page.next.is_some() && last.next.is_some() && log.next.is_some());
            let by_id = history.events(&acme, &ids).await.unwrap().len();
            [range, page.records.len(), last.records.len(), log.records.len(), by_id]
        })
        .await;
    assert_eq!(read, [6; 5], "events of 192 KB in a read of 1 MiB");
    assert!(chunks < 5 * 1_000, "{chunks} chunks of 2 KB were read");
}

#[tokio::test]
async fn a_page_of_a_rare_type_ends_early_and_its_followers_find_the_event() {
    let tables = start_with_a_long_plan().await;
    for descending in [false, true] {
        let mut query = PageQuery { limit: 100, types: types("rare.*"), descending, ..PageQuery::default() };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let (page, rows) =
                tables.cost(async |ledger| ledger.history().page(&tenant("acme"), &plan("long"), &query).await).await;
            assert!(rows < i64::try_from(MAX_EXAMINED).unwrap() + 100, "{rows} rows were read for a page");
            let page = page.unwrap();
            found.extend(page.records.iter().map(|record| record.header.seq));
            pages += 1;
            let Some(next) = page.next else { break };
            query.after_seq = next;
        }
        assert_eq!((found, pages), (vec![25_000], 3), "descending: {descending}");
    }
}

#[tokio::test]
async fn a_page_of_the_log_for_a_small_tenant_ends_early_and_its_followers_find_the_events() {
    let tables = start_with_a_long_plan().await;
    let small = tables.add_plan("small", "p", 2, "'test.happened'", "'{}'").await;
    tables.seal(small).await;
    tables.sql("ANALYZE").await;
    let (mut found, mut from, mut pages) = (Vec::new(), 0, 0);
    loop {
        let (page, rows) =
            tables.cost(async |ledger| ledger.history().log_page(Some(&[tenant("small")]), from, 100).await).await;
        // A leaf and its plan, for each leaf that is examined.
        assert!(rows < 2 * i64::try_from(MAX_EXAMINED).unwrap() + 100, "{rows} rows were read for a page");
        let page = page.unwrap();
        found.extend(page.records.iter().filter_map(|record| record.log_index));
        pages += 1;
        let Some(next) = page.next else { break };
        from = next;
    }
    assert_eq!((found, pages), (vec![u64::from(EVENTS), u64::from(EVENTS) + 1], 4));

    let (page, rows) = tables.cost(async |ledger| ledger.history().log_page(None, 20_000, 100).await).await;
    assert_eq!(page.unwrap().records.len(), 100);
    assert!(rows < 500, "{rows} rows were read for a page of 100 events");
}

#[tokio::test]
async fn a_list_of_plans_by_prefix_ends_with_the_last_name_that_has_it() {
    let tables = Tables::start().await;
    tables.add_plans("acme", "'order-' || n", 20_000).await;
    tables.add_plans("acme", "'a~' || n", 3).await;
    tables.sql("ANALYZE").await;
    let (names, rows) = tables.cost(async |ledger| ledger.history().plans(&tenant("acme"), "a~", "", 100).await).await;
    assert_eq!(names.unwrap(), ["a~1", "a~2", "a~3"]);
    assert!(rows < 20, "{rows} rows were read for 3 names");
    let (names, rows) =
        tables.cost(async |ledger| ledger.history().plans(&tenant("acme"), "order-1", "order-15", 100).await).await;
    assert_eq!(names.unwrap().len(), 100);
    assert!(rows < 200, "{rows} rows were read for 100 names");
}

#[tokio::test]
async fn a_place_below_an_index_is_found_by_bisection() {
    let tables = start_with_a_long_plan().await;
    let (acme, long) = (tenant("acme"), plan("long"));
    for (below, expected) in
        [(0, None), (1, Some(1)), (2, Some(2)), (17_345, Some(17_345)), (29_999, Some(29_999)), (90_000, Some(30_000))]
    {
        let (head, rows) = tables.cost(async |ledger| ledger.history().head(&acme, &long, Some(below)).await).await;
        assert_eq!(head.unwrap().map(|head| head.seq), expected, "below {below}");
        assert!(rows < 60, "{rows} rows were read for the head below {below}");
    }
    // The position of a subscription that has no row for the plan.
    let audit = Subscription::parse("audit").unwrap();
    let audit =
        tables.ledger().await.subscriptions().find_or_create(&audit, Start::Beginning).await.unwrap().subscription_no;
    let plan_no = tables.ledger().await.history().plan_no("acme", "long").await.unwrap().unwrap();
    for (floor, expected) in [(0, 1), (12_000, 12_001), (30_000, 30_001)] {
        tables.sql(&format!("UPDATE sealbus.floors SET floor = {floor}")).await;
        let (positions, rows) = tables.cost(async |ledger| ledger.positions().read(audit, &[plan_no]).await).await;
        assert_eq!(positions.unwrap()[&plan_no].as_ref().unwrap().next_seq, expected);
        assert!(rows < 60, "{rows} rows were read for a position at floor {floor}");
    }
}

/// The erasure with this seq names the key with this number.
const ERASURE: &str = "'{\"keys\":[\"' || lpad(to_hex(seq), 32, '0')::uuid || '\"],\"reason\":\"r\"}'";

#[tokio::test]
async fn looking_a_data_key_up_does_not_read_the_erasures_of_other_keys() {
    let tables = Tables::start().await;
    tables.add_plan("acme", "_erasures", 20_000, "'subject.erased'", &format!("({ERASURE})::json")).await;
    tables.sql("ANALYZE").await;
    let key = |number: u128| ("acme".to_owned(), Uuid::from_u128(number));
    let (keys, rows) =
        tables.cost(async |ledger| ledger.data_keys().stored(&[key(7), key(30_000), key(20_000)]).await).await;
    let erased: Vec<bool> = keys.unwrap().iter().map(|key| key.erased).collect();
    assert_eq!(erased, [true, false, true]);
    assert!(rows < 100, "{rows} rows were read for three keys");
    // Erasures of another tenant, and in another plan, do not count.
    let other = [("other".to_owned(), Uuid::from_u128(7))];
    assert!(!tables.ledger().await.data_keys().stored(&other).await.unwrap()[0].erased);
    tables
        .sql("SET session_replication_role = replica; UPDATE sealbus.plans SET plan = 'p' WHERE plan = '_erasures'")
        .await;
    assert!(!tables.ledger().await.data_keys().stored(&[key(7)]).await.unwrap()[0].erased);
}

#[tokio::test]
async fn an_erasure_that_sealbus_did_not_write_stops_no_read() {
    let tables = Tables::start().await;
    let payloads = "(ARRAY['{\"keys\":3}', '[]', 'null', '{\"keys\":\"\\u0000\"}', '1e999999', '{}'])[seq]::json";
    tables.add_plan("acme", "_erasures", 6, "'subject.erased'", payloads).await;
    let names = [("acme".to_owned(), Uuid::from_u128(7))];
    assert!(!tables.ledger().await.data_keys().stored(&names).await.unwrap()[0].erased);
    assert_eq!(tables.ledger().await.data_keys().redo_erasures().await.unwrap(), 0);
}

#[tokio::test]
async fn verifying_a_plan_reads_no_other_plan_and_no_erasure_of_other_keys() {
    let tables = Tables::start().await;
    tables.add_plans("acme", "'order-' || n", 20_000).await;
    tables.add_plan("acme", "_erasures", 5_000, "'subject.erased'", &format!("({ERASURE})::json")).await;
    tables.add_plan("other", "_erasures", 5_000, "'subject.erased'", "'{}'").await;
    tables.add_plan("acme", "short", 10, "'test.happened'", "'{}'").await;
    tables.sql("ANALYZE").await;
    let scope = Scope::Plan(tenant("acme"), plan("short"));
    let keyring = Keyring::parse(&sealbus_testkit::keyring()).unwrap();
    let (verified, rows) =
        tables.cost(async |ledger| ledger.verification().verify_chains(&scope, &keyring).await).await;
    assert_eq!(verified.unwrap().events, 10);
    assert!(rows < 200, "{rows} rows were read for a plan of ten events");
}

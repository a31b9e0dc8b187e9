//! Against a name server on loopback that answers by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use parking_lot::Mutex;
use tokio::net::UdpSocket;

use super::super::tests::{PATIENCE, provider};
use super::*;

const A: u16 = 1;
const NS: u16 = 2;
const MX: u16 = 15;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What is answered: records by name and type, or the code of a failure.
type Zone = BTreeMap<(&'static str, u16), Result<Vec<Vec<u8>>, u8>>;

fn name(text: &str) -> Vec<u8> {
    let labels = text.trim_end_matches('.').split('.');
    let mut out: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    out.push(0);
    out
}

/// An answer to the question in `query`; whatever the zone does not know is a name that does not exist.
fn answer(query: &[u8], zone: &Zone) -> Vec<u8> {
    let (mut at, mut asked) = (12, String::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        asked.push_str(&String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        asked.push('.');
        at = end;
    }
    let question = &query[12..at + 5];
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let known = zone.iter().find(|((name, k), _)| *name == asked && *k == kind).map(|(_, records)| records);
    let (records, code) = match known {
        Some(Ok(records)) => (records.clone(), 0),
        Some(Err(code)) => (Vec::new(), *code),
        None => (Vec::new(), 3),
    };
    let mut out = query[..2].to_vec();
    out.extend([0x85, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    out.extend(question);
    for record in records {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        // Class IN, an hour to live.
        out.extend([0, 1, 0, 0, 0x0e, 0x10]);
        out.extend((record.len() as u16).to_be_bytes());
        out.extend(record);
    }
    out
}

async fn serve(zone: Arc<Mutex<Zone>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0u8; 1024];
        while let Ok((n, from)) = socket.recv_from(&mut query).await {
            let answer = answer(&query[..n], &zone.lock());
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

fn resolver(server: SocketAddr) -> TokioResolver {
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    build(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())).unwrap()
}

fn zone() -> Zone {
    let with = |head: &[u8], host: &str| [head, &name(host)].concat();
    BTreeMap::from([
        (("a.test.", A), Ok(vec![vec![10, 0, 0, 1], vec![10, 0, 0, 2]])),
        (("a.test.", AAAA), Ok(vec![[&[0x20, 1, 0xd, 0xb8], &[0u8; 11][..], &[1]].concat()])),
        (("_m._tcp.a.test.", SRV), Ok(vec![with(&[0, 1, 0, 2, 0x1f, 0x90], "h.a.test.")])),
        (("a.test.", MX), Ok(vec![with(&[0, 10], "mail.a.test.")])),
        (("a.test.", NS), Ok(vec![with(&[], "ns.a.test.")])),
        (("empty.test.", A), Ok(Vec::new())),
        (("broken.test.", A), Err(2)),
    ])
}

#[tokio::test]
async fn records_of_every_type_become_targets() {
    let resolver = resolver(serve(Arc::new(Mutex::new(zone()))).await);
    let check = async |name: &str, record_type: DnsRecordType, wanted: Result<&[&str], ()>| {
        let config =
            DnsSdConfig { names: vec![name.to_owned()], refresh_interval_ms: 1000, record_type, port: 9100 };
        let group = lookup(&resolver, name, &config).await;
        let shown = group.map_err(|_| ()).map(|group| {
            assert_eq!(group.source, name);
            group.targets.iter().map(ToString::to_string).collect::<Vec<_>>()
        });
        let wanted = wanted.map(|all| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        assert_eq!(shown, wanted, "{name} {record_type:?}");
    };
    use DnsRecordType as T;
    let two = [
        "{__address__=\"10.0.0.1:9100\", __meta_dns_name=\"a.test.\"}",
        "{__address__=\"10.0.0.2:9100\", __meta_dns_name=\"a.test.\"}",
    ];
    check("a.test.", T::A, Ok(&two)).await;
    check("a.test.", T::Aaaa, Ok(&["{__address__=\"[2001:db8::1]:9100\", __meta_dns_name=\"a.test.\"}"]))
        .await;
    check(
        "_m._tcp.a.test.",
        T::Srv,
        Ok(&["{__address__=\"h.a.test:8080\", __meta_dns_name=\"_m._tcp.a.test.\", \
              __meta_dns_srv_record_port=\"8080\", __meta_dns_srv_record_target=\"h.a.test.\"}"]),
    )
    .await;
    check(
        "a.test.",
        T::Mx,
        Ok(&["{__address__=\"mail.a.test:9100\", __meta_dns_mx_record_target=\"mail.a.test.\", \
              __meta_dns_name=\"a.test.\"}"]),
    )
    .await;
    check(
        "a.test.",
        T::Ns,
        Ok(&["{__address__=\"ns.a.test:9100\", __meta_dns_name=\"a.test.\", \
              __meta_dns_ns_record_target=\"ns.a.test.\"}"]),
    )
    .await;
    check("empty.test.", T::A, Ok(&[])).await;
    check("absent.test.", T::A, Ok(&[])).await;
    check("broken.test.", T::A, Err(())).await;
}

/// The next refresh sees what has changed, however long the answer would have lived; a server that fails
/// changes nothing.
#[tokio::test]
async fn targets_follow_the_records() {
    let zone = Arc::new(Mutex::new(zone()));
    let resolver = resolver(serve(Arc::clone(&zone)).await);
    let (provider, seen) = provider();
    let metrics = provider.metrics.clone();
    let names = vec!["a.test.".to_owned(), "empty.test.".to_owned()];
    let config = DnsSdConfig { names, refresh_interval_ms: 1, record_type: DnsRecordType::A, port: 1 };
    let follow = tokio::spawn(async move { follow_with(&resolver, provider, config).await });
    let until = async |wanted: &[&str]| {
        let look = async {
            loop {
                if seen.addresses() == wanted {
                    return;
                }
                seen.changed().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap();
    };
    until(&["10.0.0.1:1", "10.0.0.2:1"]).await;
    zone.lock().insert(("a.test.", A), Ok(vec![vec![10, 0, 0, 3]]));
    until(&["10.0.0.3:1"]).await;
    zone.lock().insert(("a.test.", A), Err(2));
    zone.lock().insert(("empty.test.", A), Ok(vec![vec![10, 0, 0, 4]]));
    until(&["10.0.0.3:1", "10.0.0.4:1"]).await;
    assert!(metrics.dns_failures.get() >= 1.0);
    zone.lock().remove(&("a.test.", A));
    until(&["10.0.0.4:1"]).await;
    follow.abort();
}

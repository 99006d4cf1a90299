//! This kernel's own BTF, whole and damaged. No figure here is one kernel's alone.

use std::io::Write as _;

use btfparse::TypeVariant;

use super::*;

fn own() -> Vec<u8> {
    fs::read(BTF).unwrap()
}

/// Parses a file of these bytes.
fn parsed(bytes: &[u8], name: &str) -> Result<Layout, Error> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    parse(&Windows::on(&file), Path::new(name))
}

#[test]
fn this_kernel_is_understood() {
    let layout = parsed(&own(), BTF).unwrap();
    let kernel = layout.kernel;
    // Sizes that struct layout guarantees whatever the kernel.
    assert_eq!(kernel.remote_port % 2, 0);
    assert!(
        kernel.segs_out > kernel.pending,
        "tcp_sock begins with inet_connection_sock"
    );
    assert!(
        kernel.pending > kernel.inet_sport,
        "inet_connection_sock begins with inet_sock"
    );
    assert!(kernel.inet_sport > kernel.err, "inet_sock begins with sock");
    assert_eq!(
        kernel.mib_keepalive,
        kernel.mib_winprobe + 1,
        "neighbours in every version read"
    );
    assert!(kernel.acked_bit.is_power_of_two() && kernel.acked_bit < 256);
    assert!(
        kernel.acked > kernel.num_timeout,
        "inet_request_sock begins with request_sock"
    );
    assert_eq!(layout.functions.get("tcp_xmit_probe_skb"), Some(&3));
    assert_eq!(layout.functions.get("tcp_keepalive_timer"), Some(&1));
}

/// Bytes of a type, `None` where they cannot be determined.
fn bytes(types: &TypeInformation, id: u32) -> Option<u64> {
    match types.get().get(&id)? {
        TypeVariant::Typedef(inner) => bytes(types, *inner.tid()),
        TypeVariant::Const(inner) => bytes(types, *inner.tid()),
        TypeVariant::Volatile(inner) => bytes(types, *inner.tid()),
        TypeVariant::Array(array) => {
            let element = bytes(types, *array.element_tid())?;
            Some(element * u64::from(*array.element_count()))
        }
        TypeVariant::Ptr(_) => Some(8),
        TypeVariant::Int(found) => u64::try_from(*found.size()).ok(),
        TypeVariant::Struct(found) => u64::try_from(*found.size()).ok(),
        TypeVariant::Union(found) => u64::try_from(*found.size()).ok(),
        _ => None,
    }
}

#[test]
fn no_field_is_read_beyond_its_end() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&own()).unwrap();
    let types = TypeInformation::new(&Windows::on(&file)).unwrap();
    let index = Index::new(&types);
    let mut compared = 0;
    for field in FIELDS {
        let found = index.of_type(field.owner, field.path);
        let Some(size) = found.and_then(|id| bytes(&types, id)) else {
            continue;
        };
        let name = format!("{}.{}", field.owner, field.path);
        assert!(u64::from(field.size) <= size, "{name} has {size} bytes");
        compared += 1;
    }
    assert!(compared > FIELDS.len() / 2, "only {compared} were compared");
}

#[test]
fn a_truncated_file_is_refused() {
    let bytes = own();
    let lengths = [
        0,
        1,
        2,
        8,
        23,
        24,
        25,
        100,
        4096,
        bytes.len() / 3,
        bytes.len() / 2,
        bytes.len() - 1,
    ];
    for length in lengths {
        let error = parsed(&bytes[..length], "cut").unwrap_err();
        assert!(
            matches!(error, Error::BadBtf { .. } | Error::BtfLacks { .. }),
            "{length}: {error}"
        );
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let bytes = &own()[..1 << 20];
    for step in 0..64_usize {
        let mut damaged = bytes.to_vec();
        let at = 24 + step * 7919;
        damaged[at] ^= 0xff;
        // Cut short as it is, it can only be refused.
        assert!(parsed(&damaged, "damaged").is_err(), "{at}");
    }
}

#[test]
fn type_information_without_sockets_says_what_is_missing() {
    // A header with an empty type section and one empty string.
    let mut bytes = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    bytes.extend([0; 12]);
    bytes.extend([1, 0, 0, 0, 0]);
    let error = parsed(&bytes, "empty").unwrap_err();
    assert!(
        error.to_string().contains("empty does not describe"),
        "{error}"
    );
}

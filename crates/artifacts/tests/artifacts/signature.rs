//! What Amazon's servers do with a signed address, written a second time: signature version 4 in the query.
//!
//! The S3 server of the tests answers every address, whatever its signature. So the tests look for themselves whether
//! all that an address says is covered by its signature.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use url::Url;

/// Whether the signature of this address is the one that `secret` makes.
pub fn holds(address: &str, secret: &str) -> bool {
    let url = Url::parse(address).unwrap();
    // Pairs as they stand in the address: escaped, in the order of their names.
    let mut pairs: Vec<(&str, &str)> =
        url.query().unwrap().split('&').map(|pair| pair.split_once('=').unwrap()).collect();
    pairs.sort_unstable();
    let given = value(&url, "X-Amz-Signature");
    let signed: Vec<String> = pairs
        .iter()
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = format!("GET\n{}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD", url.path(), signed.join("&"));
    let credential = value(&url, "X-Amz-Credential");
    let (_, scope) = credential.split_once('/').unwrap();
    let date = value(&url, "X-Amz-Date");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(request.as_bytes())));
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    hex(&hmac(&key, text.as_bytes())) == given
}

/// The value of a parameter of an address.
pub fn value(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    let short = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
    block[..short.len()].copy_from_slice(&short);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The example of Amazon's documentation, "Authenticating Requests: Using Query Parameters".
#[test]
fn the_published_example_holds_and_a_changed_one_does_not() {
    let example = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
                   &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
                   &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
                   &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    assert!(holds(example, secret));
    assert!(!holds(&example.replace("86400", "86401"), secret));
    assert!(!holds(example, "another"));
}

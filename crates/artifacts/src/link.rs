//! Links: where somebody who has no credentials of the store can fetch a published file, for a while.
//!
//! A bucket signs an address ("presigned"): whoever has it can read the one file until it expires, and nobody can take it
//! back before. A folder has no addresses, so its answer is the path. Links of our own that are counted and can be
//! revoked belong to whoever serves HTTP; that is why [`ArtifactStore::link`] takes a file that the caller has looked
//! up with [`ArtifactStore::published`], and decides nothing about who may have it.

use std::fmt;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use lovage_core::{Invalid, Timestamp};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use crate::config::{Address, Scheme};
use crate::error::ArtifactError;
use crate::keys::{FileName, path};
use crate::manifest::ManifestFile;
use crate::sign::sign;
use crate::store::ArtifactStore;

/// What S3 and Google Cloud Storage accept at most.
const LONGEST: Duration = Duration::from_hours(24 * 7);

/// What kind of link.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// How long it works, 1 s to 7 days, in whole seconds.
    pub expires_in: Duration,
    /// The name under which a browser saves the file, if not the file's own.
    pub name: Option<FileName>,
    /// The current time.
    pub now: Timestamp,
}

impl LinkOptions {
    /// A link for an hour, under the file's own name.
    pub fn at(now: Timestamp) -> Self {
        Self { expires_in: Duration::from_hours(1), name: None, now }
    }
}

/// Where a file can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// The file of a local store, by its absolute path. It does not expire.
    Path(PathBuf),
    /// An address that works for everybody who has it.
    Signed(SignedLink),
}

/// A signed address. It is a secret while it works: debug output leaves it out.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedLink {
    url: String,
    /// When it stops working.
    pub expires_at: Timestamp,
}

impl SignedLink {
    /// The address. Not for logs.
    pub fn reveal(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for SignedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedLink").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl ArtifactStore {
    /// A link to a file of a manifest. Asks the store whether the file is there, so that nobody is handed a dead one.
    ///
    /// Azure signs no download name: a link there carries the file's own, and asking for another is refused.
    pub async fn link(&self, file: &ManifestFile, options: &LinkOptions) -> Result<Link, ArtifactError> {
        let expires_in = checked(options.expires_in)?;
        let object = path(&file.key)?;
        if let Some(path) = self.local_path(&file.key) {
            self.look_for(&object).await?;
            return Ok(Link::Path(path));
        }
        let Some(signer) = self.signer() else {
            let help = "use a folder, or a bucket with credentials";
            return Err(ArtifactError::Misconfigured(format!("{} cannot sign links; {help}", self.location(""))));
        };
        let extra = self.extra_query(file, options.name.as_ref())?;
        self.look_for(&object).await?;
        let failed = |error| ArtifactError::from_store(&format!("sign a link to {}", file.key), &error);
        let url = sign(signer, &object, expires_in, extra).await.map_err(failed)?;
        Ok(Link::Signed(SignedLink { url, expires_at: options.now.plus(expires_in) }))
    }

    /// What the store is to say about the file when it is fetched; part of what is signed.
    fn extra_query(
        &self,
        file: &ManifestFile,
        name: Option<&FileName>,
    ) -> Result<Vec<(&'static str, String)>, ArtifactError> {
        if matches!(self.address(), Address::Bucket { scheme: Scheme::Azure, .. }) {
            return match name.filter(|name| name.as_str() != file.name) {
                Some(_) => {
                    let help = "leave it out: the file is saved under its own name";
                    Err(Invalid::new("name", "cannot be part of a link to Azure Blob Storage", help).into())
                }
                None => Ok(Vec::new()),
            };
        }
        let name = name.map_or(file.name.as_str(), FileName::as_str);
        Ok(vec![
            ("response-content-disposition", disposition(name)),
            ("response-content-type", file.content_type.clone()),
        ])
    }

    async fn look_for(&self, object: &Path) -> Result<(), ArtifactError> {
        let found = self.objects().head(object).await;
        found.map(|_| ()).map_err(|error| ArtifactError::from_store(&format!("look for {object}"), &error))
    }
}

/// The time in whole seconds, if a link may work as long.
fn checked(expires_in: Duration) -> Result<Duration, Invalid> {
    let seconds = Duration::from_secs(expires_in.as_secs());
    if seconds.is_zero() || expires_in > LONGEST {
        let problem = format!("is {} ms", expires_in.as_millis());
        return Err(Invalid::new("expires", problem, "use 1s to 7d: no store signs for longer"));
    }
    Ok(seconds)
}

/// The header that has a file saved under this name (RFC 6266): in plain letters for old programs, then in any script.
fn disposition(name: &str) -> String {
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut text = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        // RFC 8187: what need not be escaped.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Stands in a quoted text as it is, and is not taken for an escape by anybody.
fn is_plain(c: char) -> bool {
    (c == ' ' || c.is_ascii_graphic()) && !"\"\\%".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_script_is_escaped_and_has_a_plain_form() {
        assert_eq!(
            disposition("订单 2024 (é)+.csv"),
            "attachment; filename=\"__ 2024 (_)+.csv\"; \
             filename*=UTF-8''%E8%AE%A2%E5%8D%95%202024%20%28%C3%A9%29+.csv"
        );
        assert_eq!(disposition("a.csv"), "attachment; filename=\"a.csv\"; filename*=UTF-8''a.csv");
    }

    /// A manifest is a file that somebody may have changed.
    #[test]
    fn a_name_cannot_end_its_header() {
        let text = disposition("a\"; x=\r\nb%41\\.csv");
        assert_eq!(
            text,
            "attachment; filename=\"a_; x=__b_41_.csv\"; filename*=UTF-8''a%22%3B%20x%3D%0D%0Ab%2541%5C.csv"
        );
    }

    #[test]
    fn a_time_that_no_store_signs_is_refused() {
        for wrong in [Duration::ZERO, Duration::from_millis(999), LONGEST + Duration::from_millis(1), Duration::MAX] {
            assert_eq!(checked(wrong).unwrap_err().field, "expires");
        }
        assert_eq!(checked(Duration::from_millis(1_999)), Ok(Duration::from_secs(1)));
        assert_eq!(checked(LONGEST), Ok(LONGEST));
    }

    #[test]
    fn a_signed_link_does_not_show_in_debug_output() {
        let link = SignedLink { url: "https://b/x?sig=hunter2".into(), expires_at: Timestamp::default() };
        let text = format!("{:?}", Link::Signed(link));
        assert!(text.contains("expires_at") && !text.contains("hunter2"), "{text}");
    }
}

//! What signs links: a service's own client, in a build that has services.

#[cfg(feature = "cloud")]
pub(crate) use cloud::{Signs, sign};
#[cfg(not(feature = "cloud"))]
pub(crate) use local::{Signs, sign};

#[cfg(feature = "cloud")]
mod cloud {
    use std::sync::Arc;
    use std::time::Duration;

    use object_store::path::Path;
    use object_store::signer::{Method, SignedUrlOptions, Signer};

    /// Signs addresses of the objects of a bucket.
    pub(crate) type Signs = Arc<dyn Signer>;

    /// An address that reads the object; `extra` becomes part of it and of the signature.
    pub(crate) async fn sign(
        by: &Signs,
        object: &Path,
        expires_in: Duration,
        extra: Vec<(&'static str, String)>,
    ) -> object_store::Result<String> {
        let options = SignedUrlOptions::default().with_query(extra);
        by.signed_url_opts(Method::GET, object, expires_in, &options).await.map(Into::into)
    }
}

#[cfg(not(feature = "cloud"))]
mod local {
    use std::future::Ready;
    use std::time::Duration;

    use object_store::path::Path;

    /// There is none.
    pub(crate) enum Signs {}

    /// Is never called.
    pub(crate) fn sign(
        by: &Signs,
        _object: &Path,
        _expires_in: Duration,
        _extra: Vec<(&'static str, String)>,
    ) -> Ready<object_store::Result<String>> {
        match *by {}
    }
}

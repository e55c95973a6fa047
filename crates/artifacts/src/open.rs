//! Opens the store behind an address. The only file that knows the services one by one.

use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
#[cfg(feature = "cloud")]
use object_store::signer::Signer;

use crate::config::{Address, Scheme, StoreConfig};
use crate::error::ArtifactError;
use crate::sign::Signs;

/// A store that was opened.
pub(crate) struct Opened {
    pub(crate) objects: Objects,
    pub(crate) address: Address,
}

/// The objects of a store.
pub(crate) struct Objects {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// What signs links to them: for a bucket with credentials.
    pub(crate) signer: Option<Signs>,
}

impl Objects {
    /// Objects without links.
    pub(crate) fn unsigned(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, signer: None }
    }

    /// Objects of a bucket below this prefix.
    #[cfg(feature = "cloud")]
    fn signed<S: ObjectStore + Signer>(store: S, prefix: &str) -> Self {
        if prefix.is_empty() {
            let store = Arc::new(store);
            return Self { signer: Some(Arc::clone(&store) as _), store };
        }
        let store = Arc::new(object_store::prefix::PrefixStore::new(store, prefix));
        Self { signer: Some(Arc::clone(&store) as _), store }
    }
}

/// Opens without talking to the service: a bucket that cannot be reached must not keep a worker from starting.
pub(crate) fn open(config: &StoreConfig) -> Result<Opened, ArtifactError> {
    let address = Address::parse(&config.url)?;
    let objects = match &address {
        Address::Memory => Objects::unsigned(Arc::new(InMemory::new())),
        Address::Local(folder) => Objects::unsigned(Arc::new(local(folder, config.durable)?)),
        Address::Bucket { scheme, bucket, prefix } => bucket_objects(*scheme, bucket, prefix, config)?,
    };
    Ok(Opened { objects, address })
}

fn local(folder: &FilePath, durable: bool) -> Result<LocalFileSystem, ArtifactError> {
    let unusable = |problem: &dyn std::fmt::Display| {
        ArtifactError::Misconfigured(format!("the folder {} cannot be used: {problem}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| unusable(&error))?;
    let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| unusable(&error))?;
    // Empty folders of removed attempts go with their last file.
    Ok(store.with_automatic_cleanup(true).with_fsync(durable))
}

#[cfg(not(feature = "cloud"))]
fn bucket_objects(scheme: Scheme, bucket: &str, prefix: &str, _config: &StoreConfig) -> Result<Objects, ArtifactError> {
    Err(left_out(scheme, &format!("{bucket}/{prefix}")))
}

#[cfg(feature = "cloud")]
fn bucket_objects(scheme: Scheme, bucket: &str, prefix: &str, config: &StoreConfig) -> Result<Objects, ArtifactError> {
    // The HTTP client is built without a TLS provider of its own; the whole binary uses ring. A second call finds the
    // provider set, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match scheme {
        #[cfg(feature = "s3")]
        Scheme::S3 => {
            let mut objects = Objects::signed(s3(bucket, config)?, prefix);
            if config.setting("AWS_SKIP_SIGNATURE").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
                // Without credentials there is nothing to sign with.
                objects.signer = None;
            }
            Ok(objects)
        }
        #[cfg(feature = "gcs")]
        Scheme::Gcs => Ok(Objects::signed(gcs(bucket, config)?, prefix)),
        #[cfg(feature = "azure")]
        Scheme::Azure => Ok(Objects::signed(azure(bucket, config)?, prefix)),
        #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
        other => Err(left_out(other, bucket)),
    }
}

/// The answer for a service that this build leaves out.
#[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
fn left_out(scheme: Scheme, what: &str) -> ArtifactError {
    let (name, feature) = match scheme {
        Scheme::S3 => ("s3://", "s3"),
        Scheme::Gcs => ("gs://", "gcs"),
        Scheme::Azure => ("az://", "azure"),
    };
    let help = format!("build with `--features {feature}`, or use a folder");
    lovage_core::Invalid::new("storage url", format!("{name}{what} needs a service that this build leaves out"), help)
        .into()
}

#[cfg(feature = "cloud")]
fn client_options() -> object_store::ClientOptions {
    use std::time::Duration;
    // The limit of a whole request has to carry a part of 64 MiB over a slow line; a peer that is gone is noticed by
    // the connect and read limits long before.
    object_store::ClientOptions::new()
        .with_connect_timeout(Duration::from_secs(5))
        .with_read_timeout(Duration::from_secs(30))
        .with_timeout(Duration::from_mins(3))
}

#[cfg(feature = "cloud")]
fn retry(config: &StoreConfig) -> object_store::RetryConfig {
    object_store::RetryConfig { max_retries: 6, retry_timeout: config.retry_for, ..Default::default() }
}

#[cfg(feature = "s3")]
fn s3(bucket: &str, config: &StoreConfig) -> Result<impl ObjectStore + Signer, ArtifactError> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
    let endpoint = config.setting("AWS_ENDPOINT_URL_S3").or_else(|| config.setting("AWS_ENDPOINT_URL"));
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client_options())
        .with_retry(retry(config))
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_allow_http(plain);
    for (name, value) in config.settings.iter().filter(|(_, value)| !value.is_empty()) {
        // Settings of other tools (AWS_PROFILE, AWS_PAGER, …) mean nothing here.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if endpoint.is_some() && !has_credentials(config) {
        let help = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_SKIP_SIGNATURE=true for an open bucket)";
        return Err(ArtifactError::Misconfigured(format!(
            "AWS_ENDPOINT_URL is set, but there are no credentials; {help}"
        )));
    }
    builder.build().map_err(|error| ArtifactError::from_store("open the bucket", &error))
}

/// Whether any of the ways to prove who we are is configured. On Amazon's own machines none has to be.
#[cfg(feature = "s3")]
fn has_credentials(config: &StoreConfig) -> bool {
    ["AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        .iter()
        .any(|name| config.setting(name).is_some())
}

#[cfg(feature = "gcs")]
fn gcs(bucket: &str, config: &StoreConfig) -> Result<impl ObjectStore + Signer, ArtifactError> {
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(client_options())
        .with_retry(retry(config))
        .with_bucket_name(bucket);
    for (name, value) in config.settings.iter().filter(|(_, value)| !value.is_empty()) {
        if let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    builder.build().map_err(|error| ArtifactError::from_store("open the bucket", &error))
}

#[cfg(feature = "azure")]
fn azure(container: &str, config: &StoreConfig) -> Result<impl ObjectStore + Signer, ArtifactError> {
    use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(client_options())
        .with_retry(retry(config))
        .with_container_name(container);
    for (name, value) in config.settings.iter().filter(|(_, value)| !value.is_empty()) {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    builder.build().map_err(|error| ArtifactError::from_store("open the container", &error))
}

//! What lies in the store: for jobs that read objects which no manifest names, because others put them there.

use futures::TryStreamExt as _;
use lovage_core::Invalid;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use crate::error::ArtifactError;
use crate::keys::path;
use crate::store::ArtifactStore;

/// An object of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
}

impl ArtifactStore {
    /// The object with this key.
    pub async fn object(&self, key: &str) -> Result<StoredObject, ArtifactError> {
        let found = self.objects().head(&path(key)?).await;
        let found = found.map_err(|error| ArtifactError::from_store(&format!("look at {key}"), &error))?;
        Ok(StoredObject { key: key.to_owned(), bytes: found.size })
    }

    /// The objects right in `folder`, those for whose names `wanted` answers yes, in the order of their keys. A folder
    /// that is not there is empty; more than `at_most` are an error, so that memory stays bounded.
    pub async fn objects_in(
        &self,
        folder: &str,
        at_most: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<StoredObject>, ArtifactError> {
        let prefix = path(folder)?;
        let mut objects = self.objects().list(Some(&prefix));
        let mut found = Vec::new();
        let failed = |error| ArtifactError::from_store(&format!("list {folder}"), &error);
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            if !name_in(&prefix, &object.location).is_some_and(|name| wanted(&name)) {
                continue;
            }
            if found.len() == at_most {
                let problem = format!("more than {at_most} objects of {folder} are wanted");
                return Err(Invalid::new("files", problem, "name fewer, e.g. by a longer pattern").into());
            }
            found.push(StoredObject { key: object.location.to_string(), bytes: object.size });
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }
}

/// The name of an object that lies right in the folder.
fn name_in(folder: &Path, object: &Path) -> Option<String> {
    let mut rest = object.prefix_match(folder)?;
    let name = rest.next()?;
    rest.next().is_none().then(|| name.as_ref().to_owned())
}

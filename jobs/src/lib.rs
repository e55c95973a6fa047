//! The handlers of the job kinds that Lovage ships.

//! Queues with weights: `exports=4,audit=8`.

use std::fmt;
use std::str::FromStr;

use lovage_core::QueueName;

/// Largest weight of a queue.
const MAX_WEIGHT: u32 = 1_000;

/// The queues that a worker serves. A queue of weight 8 gets twice the slots of one of weight 4 while both have work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights(pub Vec<(QueueName, u32)>);

impl Default for Weights {
    fn default() -> Self {
        // The queues of the kinds that Lovage ships, and one for everything else.
        let names = [("default", 2), ("exports", 4), ("audit", 8), ("backups", 1)];
        Self(names.into_iter().filter_map(|(name, weight)| Some((name.parse().ok()?, weight))).collect())
    }
}

impl FromStr for Weights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "use names with weights, e.g. exports=4,audit=8";
        let mut queues: Vec<(QueueName, u32)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let name: QueueName = name.trim().parse().map_err(|error: lovage_core::Invalid| error.to_string())?;
            let weight: u32 = weight
                .trim()
                .parse()
                .ok()
                .filter(|weight| (1..=MAX_WEIGHT).contains(weight))
                .ok_or_else(|| format!("the weight of {name} is {weight:?}; use 1 to {MAX_WEIGHT}"))?;
            if queues.iter().any(|(other, _)| *other == name) {
                return Err(format!("queue {name} is named twice; {help}"));
            }
            queues.push((name, weight));
        }
        if queues.is_empty() {
            return Err(format!("names no queue; {help}"));
        }
        Ok(Self(queues))
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, weight)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={weight}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_and_written_back() {
        assert_eq!("exports=4, audit=8".parse::<Weights>().unwrap().to_string(), "exports=4,audit=8");
        assert_eq!("mail".parse::<Weights>().unwrap().to_string(), "mail=1");
        assert_eq!(Weights::default().0.len(), 4);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "names no queue"),
            ("a=0", "weight of a"),
            ("a=x", "weight of a"),
            ("A=1", "queue:"),
            ("a,a", "twice"),
        ] {
            let error = text.parse::<Weights>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

//! Which queues of apalis are adopted: `emails=email.send,shop::Order@orders=order.pay`.

use std::fmt;
use std::str::FromStr;

use lovage_adopt::Adoption;

/// The queues of apalis whose tasks become jobs, each with where to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adoptions(pub Vec<Adoption>);

impl FromStr for Adoptions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut adoptions: Vec<Adoption> = Vec::new();
        let mut entry = String::new();
        for part in text.split(',') {
            entry.push_str(part);
            // Without a kind so far, the comma belongs to the name of a type: `HashMap<K, V>@queue=kind`.
            if !part.contains('=') && !entry.trim().is_empty() {
                entry.push(',');
                continue;
            }
            let whole = std::mem::take(&mut entry);
            if whole.trim().is_empty() {
                continue;
            }
            let adoption: Adoption = whole.trim().parse().map_err(|error: lovage_core::Invalid| wrong(&error))?;
            if adoptions.iter().any(|other| other.source == adoption.source) {
                return Err(format!("{:?} is named twice; a task can become one job only", adoption.source));
            }
            adoptions.push(adoption);
        }
        if !entry.is_empty() {
            let rest: Result<Adoption, _> = entry.trim_end_matches(',').trim().parse();
            return Err(rest.map_or_else(|error| wrong(&error), |_| format!("{entry:?} ends too early")));
        }
        Ok(Self(adoptions))
    }
}

fn wrong(error: &lovage_core::Invalid) -> String {
    format!("{}; {}", error.problem, error.help)
}

impl fmt::Display for Adoptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, adoption) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{adoption}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_are_read_and_written_back() {
        for (text, count) in [
            ("", 0),
            ("emails=email.send", 1),
            ("emails=email.send,shop::Order@orders=order.pay", 2),
            ("HashMap<String, u32>@a=k,b=l", 2),
        ] {
            let adoptions: Adoptions = text.parse().unwrap();
            assert_eq!(adoptions.0.len(), count, "{text}");
            assert_eq!(adoptions.to_string(), text);
        }
        assert_eq!("a=k, b=l,".parse::<Adoptions>().unwrap().to_string(), "a=k,b=l");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("emails", "has no `=KIND`; use [SOURCE@]QUEUE=KIND"),
            ("a=k,emails", "\"emails\" has no `=KIND`"),
            ("a=k,a@b=l", "\"a\" is named twice"),
            ("A=k", "queue:"),
        ] {
            let error = text.parse::<Adoptions>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

//! A filter as conditions of SQL. What has a term is asked by its term, the rest by its columns; everything is bound.

use lovage_core::State;
use lovage_core::filter::{ArgumentValue, Clause, Filter, KindPattern, NumberRange, Test, TimeRange};
use sqlx::{Postgres, QueryBuilder};

use super::super::stored::millis;
use super::super::terms::{self, MAX_ATTEMPT_TERM};

/// What is asked by terms: any of the alternatives, each of which asks for all of its terms.
type Alternatives = Vec<Vec<i64>>;

/// Whether an index can answer: something is asked for that has a term, or when a job ended.
pub(super) fn is_indexed(filter: &Filter) -> bool {
    let has_ended = |clause: &Clause| !clause.negated && matches!(clause.test, Test::Ended(_));
    filter.clauses.iter().any(|clause| asked(clause).is_some() || has_ended(clause))
}

/// Whether a pattern of a kind has a term.
pub(super) fn has_term(pattern: &KindPattern) -> bool {
    kind(pattern).is_some()
}

/// Adds the conditions of a filter, each with ` AND ` before it.
pub(super) fn push(sql: &mut QueryBuilder<Postgres>, filter: &Filter) {
    for clause in &filter.clauses {
        if let Some(alternatives) = asked(clause) {
            sql.push(" AND ");
            push_alternatives(sql, &alternatives);
            // An attempt's term says at least how many; the column says the rest.
            if !matches!(clause.test, Test::Attempt(_)) {
                continue;
            }
        }
        // Where the job has no such value, the test fails; its negation holds.
        sql.push(" AND (");
        push_test(sql, &clause.test);
        sql.push(if clause.negated { ") IS NOT TRUE" } else { ")" });
    }
}

/// What a clause asks by terms, if it can be asked so. Of the states it is not in, a job is in one of the others.
fn asked(clause: &Clause) -> Option<Alternatives> {
    match (&clause.test, clause.negated) {
        (Test::State(named), true) => {
            let others = State::ALL.into_iter().filter(|state| !named.contains(state));
            Some(others.map(|state| vec![terms::state(state)]).collect())
        }
        // Those of more attempts than were named, if they were named from none on.
        (Test::Attempt(named), true) => {
            let [NumberRange { from: None | Some(0), to: Some(to) }] = named.as_slice() else { return None };
            Some(vec![vec![attempts(NumberRange { from: to.checked_add(1), to: None })?]])
        }
        (_, true) => None,
        (test, false) => alternatives(test),
    }
}

fn alternatives(test: &Test) -> Option<Alternatives> {
    fn each<T>(values: &[T], term: impl Fn(&T) -> i64) -> Alternatives {
        values.iter().map(|value| vec![term(value)]).collect()
    }
    Some(match test {
        Test::State(values) => each(values, |state| terms::state(*state)),
        Test::Kind(values) => values.iter().map(|pattern| Some(vec![kind(pattern)?])).collect::<Option<_>>()?,
        Test::Queue(values) => each(values, |name| terms::queue(name.as_str())),
        Test::Tenant(values) => each(values, |name| terms::tenant(name.as_ref().map(lovage_core::Tenant::as_str))),
        Test::Tag(values) => each(values, |name| terms::tag(name)),
        Test::Worker(values) => each(values, |name| terms::worker(name.as_str())),
        Test::Reason(values) => each(values, |reason| terms::reason(*reason)),
        Test::Failure(values) => each(values, |fingerprint| terms::failure(*fingerprint)),
        Test::Error(values) => values.iter().map(terms::error).collect(),
        Test::Argument { path, values } => {
            let leaves = values.iter().flat_map(ArgumentValue::leaves);
            leaves.map(|leaf| vec![terms::argument(path, &leaf)]).collect()
        }
        Test::Attempt(values) => values.iter().map(|range| Some(vec![attempts(*range)?])).collect::<Option<_>>()?,
        Test::Id(_) | Test::Created(_) | Test::Ended(_) => return None,
    })
}

fn kind(pattern: &KindPattern) -> Option<i64> {
    match pattern {
        KindPattern::Exact(name) => Some(terms::kind(name.as_str())),
        KindPattern::Prefix(prefix) => prefix.ends_with('.').then(|| terms::kind_prefix(prefix)),
    }
}

fn attempts(range: NumberRange) -> Option<i64> {
    range.from.filter(|from| *from > 1).map(|from| terms::attempt_from(from.min(MAX_ATTEMPT_TERM)))
}

fn push_alternatives(sql: &mut QueryBuilder<Postgres>, alternatives: &Alternatives) {
    if let [terms] = alternatives.as_slice() {
        sql.push("terms @> ").push_bind(terms.clone());
        return;
    }
    let (single, several): (Vec<&Vec<i64>>, Vec<_>) = alternatives.iter().partition(|terms| terms.len() == 1);
    let single: Vec<i64> = single.into_iter().flatten().copied().collect();
    sql.push("(terms && ").push_bind(single);
    for terms in several {
        sql.push(" OR terms @> ").push_bind(terms.clone());
    }
    sql.push(")");
}

fn push_test(sql: &mut QueryBuilder<Postgres>, test: &Test) {
    match test {
        Test::Kind(values) => push_any(sql, values, push_kind),
        Test::Id(values) => {
            let ids: Vec<String> = values.iter().map(ToString::to_string).collect();
            sql.push("id = ANY(").push_bind(ids).push(")");
        }
        Test::Attempt(values) => push_any(sql, values, |sql, range: &NumberRange| {
            push_bounds(sql, "attempt", range.from.map(i64::from), range.to.map(|to| i64::from(to) + 1), false);
        }),
        Test::Created(values) => push_any(sql, values, |sql, range: &TimeRange| {
            push_bounds(sql, "enqueued_at", range.from.map(millis), range.until.map(millis), true);
        }),
        Test::Ended(values) => {
            sql.push("state IN ('completed', 'cancelled', 'discarded') AND ");
            push_any(sql, values, |sql, range: &TimeRange| {
                push_bounds(sql, "since", range.from.map(millis), range.until.map(millis), true);
            });
        }
        // These have terms, and come here only to be negated.
        _ => match alternatives(test) {
            Some(alternatives) => push_alternatives(sql, &alternatives),
            None => {
                sql.push("true");
            }
        },
    }
}

/// Conditions of which one must hold.
fn push_any<T>(sql: &mut QueryBuilder<Postgres>, values: &[T], push: impl Fn(&mut QueryBuilder<Postgres>, &T)) {
    sql.push("(false");
    for value in values {
        sql.push(" OR (");
        push(sql, value);
        sql.push(")");
    }
    sql.push(")");
}

fn push_kind(sql: &mut QueryBuilder<Postgres>, pattern: &KindPattern) {
    match pattern {
        KindPattern::Exact(name) => sql.push("kind = ").push_bind(name.to_string()),
        KindPattern::Prefix(prefix) => sql.push("starts_with(kind, ").push_bind(prefix.clone()).push(")"),
    };
}

/// `column` from `from` to before `until`.
fn push_bounds(
    sql: &mut QueryBuilder<Postgres>,
    column: &'static str,
    from: Option<i64>,
    until: Option<i64>,
    time: bool,
) {
    sql.push("true");
    for (bound, sign) in [(from, " >= "), (until, " < ")] {
        let Some(bound) = bound else { continue };
        sql.push(" AND ").push(column).push(sign);
        if time {
            sql.push("to_timestamp(").push_bind(bound).push(" / 1000.0::float8)");
        } else {
            sql.push_bind(bound);
        }
    }
}

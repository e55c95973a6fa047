//! What SQL may do: read the tables that it was given, and nothing else.
//!
//! polars' SQL knows more than that. `read_csv('/etc/passwd')`, `read_parquet('https://…')` and their kin are functions
//! in the place of a table and open any file or address; `CREATE TABLE`, `DROP TABLE`, `TRUNCATE` and `DELETE` change
//! what is registered. So the text is parsed as polars will parse it (the same parser, dialect and options; the lock
//! file has one version of it, see the test), and every statement and every table in the tree must be of a form on the
//! short list here. A form that a later polars adds is refused until somebody puts it on the list.

use std::ops::ControlFlow;

use lovage_core::Invalid;
use sqlparser::ast::{Expr, Select, Statement, TableFactor, Visit as _, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserOptions};

/// Longest text in bytes.
pub(crate) const MAX_BYTES: usize = 16 * 1_024;
/// Deepest expression, each WHEN of a CASE counted as one step, and most tables and SELECTs. polars walks plans by
/// recursion: some thousands of `+1` overflow its stack, and that ends the whole worker (see the test).
const MAX_DEPTH: usize = 128;
const MAX_TABLES: usize = 64;

const HELP: &str = "use one SELECT, or WITH … SELECT, over the tables in `inputs` and `params`";

/// Checks a statement.
pub(crate) fn check(field: &str, sql: &str) -> Result<(), Invalid> {
    let refuse = |problem: String| Err(Invalid::new(field, problem, HELP));
    if sql.len() > MAX_BYTES {
        return refuse(format!("is {} bytes long, at most {MAX_BYTES} are taken", sql.len()));
    }
    let options = ParserOptions { trailing_commas: true, ..ParserOptions::default() };
    let parsed = Parser::new(&GenericDialect).with_options(options).try_with_sql(sql);
    let statements = match parsed.and_then(|mut parser| parser.parse_statements()) {
        Ok(statements) => statements,
        Err(error) => return refuse(error.to_string()),
    };
    let [statement] = statements.as_slice() else {
        return refuse(format!("has {} statements", statements.len()));
    };
    match statement.visit(&mut OnlyReads::default()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(problem) => refuse(problem),
    }
}

/// Walks the whole tree, subqueries and common tables included.
#[derive(Default)]
struct OnlyReads {
    depth: usize,
    selects: usize,
    tables: usize,
}

impl OnlyReads {
    fn within(found: usize, most: usize, what: &str) -> ControlFlow<String> {
        if found <= most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(format!("has more than {most} {what}"))
        }
    }
}

impl Visitor for OnlyReads {
    type Break = String;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<String> {
        match statement {
            Statement::Query(_) => ControlFlow::Continue(()),
            other => {
                let text = other.to_string();
                let first = text.split_whitespace().next().unwrap_or_default();
                ControlFlow::Break(format!("contains a statement that does not read: {first}"))
            }
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<String> {
        self.depth += steps(expression);
        Self::within(self.depth, MAX_DEPTH, "expressions in one another")
    }

    fn post_visit_expr(&mut self, expression: &Expr) -> ControlFlow<String> {
        self.depth -= steps(expression);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<String> {
        self.selects += 1;
        Self::within(self.selects, MAX_TABLES, "SELECTs")
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<String> {
        self.tables += 1;
        Self::within(self.tables, MAX_TABLES, "tables")?;
        match table {
            TableFactor::Table { name, args: None, .. } if name.0.len() == 1 => ControlFlow::Continue(()),
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } | TableFactor::UNNEST { .. } => {
                ControlFlow::Continue(())
            }
            other => ControlFlow::Break(format!("reads from {other}, which is no table of the report")),
        }
    }
}

/// How many plans in one another an expression becomes.
fn steps(expression: &Expr) -> usize {
    match expression {
        Expr::Case { conditions, .. } => 1 + conditions.len(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::LazyFrame;
    use polars::sql::SQLContext;

    use super::*;

    #[test]
    fn reading_is_allowed_in_every_form() {
        for sql in [
            "select 1",
            "SELECT account, SUM(amount) AS total FROM orders GROUP BY account ORDER BY total DESC LIMIT 3;",
            "with a as (select * from orders) select * from a join customers using (id)",
            "select * from (select 1 as x) as t, (orders join customers on orders.a = customers.b)",
            "select * from orders where tenant in (select tenant from params) union all select * from orders",
            "select * from unnest([1, 2], ['a', 'b']) as t(x, y)",
            "select a, from orders",
        ] {
            check("sql", sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    #[test]
    fn files_addresses_and_changes_are_refused_wherever_they_stand() {
        for sql in [
            "select * from read_csv('/etc/passwd')",
            "select * from READ_CSV('/etc/passwd') as t",
            "select * from \"read_csv\"('/etc/passwd')",
            "select * from read_parquet('http://169.254.169.254/latest')",
            "select * from read_json('/etc/shadow')",
            "select * from read_ipc('s3://bucket/x')",
            "select * from orders join read_csv('/etc/passwd') as p on true",
            "select * from orders, read_csv('/etc/passwd')",
            "select * from (orders cross join read_csv('/etc/passwd'))",
            "select * from (select * from read_csv('/etc/passwd')) as t",
            "with x as (select * from read_csv('/etc/passwd')) select * from x",
            "with x as (with y as (select * from read_csv('/x')) select * from y) select * from x",
            "select (select count(*) from read_csv('/etc/passwd')) from orders",
            "select * from orders where a in (select b from read_csv('/etc/passwd'))",
            "select * from orders where exists (select 1 from read_csv('/x'))",
            "select case when a in (select b from read_csv('/x')) then 1 end from orders",
            "select * from orders order by (select 1 from read_csv('/x'))",
            "select 1 union all (select * from read_csv('/etc/passwd'))",
            "from read_csv('/etc/passwd')",
            "select * from table(read_csv('/etc/passwd'))",
            "select * from lateral read_csv('/etc/passwd')",
            "select * from somewhere.orders",
            "create table x as select 1",
            "copy orders to '/tmp/x'",
            "copy (select 1) to '/tmp/x'",
            "drop table orders",
            "truncate table orders",
            "delete from orders",
            "with x as (delete from orders returning *) select * from x",
            "insert into orders values (1)",
            "update orders set a = 1",
            "explain select 1",
            "show tables",
            "select 1; select 2",
            "select 1; drop table orders",
            "set x = 1",
            "",
            "  ",
        ] {
            let refused = check("sheets[0].sql", sql);
            assert!(refused.is_err(), "{sql} is taken");
        }
    }

    /// What is refused above must be what polars would have done: a test whose attacks do not work proves nothing.
    #[test]
    fn polars_itself_would_open_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret.csv");
        std::fs::write(&file, "a\n42\n").unwrap();
        let sql = format!("select * from read_csv('{}')", file.display());
        let frame = SQLContext::new().execute(&sql).unwrap().collect().unwrap();
        assert_eq!(frame.height(), 1);
        assert!(check("sql", &sql).is_err());
    }

    /// The parser that checks must be the one that runs.
    #[test]
    fn the_lock_file_has_one_parser_of_sql() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
        assert_eq!(lock.matches("name = \"sqlparser\"").count(), 1);
    }

    /// An overflow of the stack would end the whole worker. What is taken must be safe for polars on the thread that
    /// reports have, and what the length allows must be safe to refuse on any.
    #[test]
    fn the_deepest_text_that_is_taken_does_not_break_the_stack() {
        let sum = |terms: usize| format!("select 1{} as n", "+1".repeat(terms));
        let nots = |terms: usize| format!("select {}true as n", "not ".repeat(terms));
        let cases = |terms: usize| format!("select case {} end as n", "when 1=2 then 3 ".repeat(terms));
        let unions = |terms: usize| format!("select 1 as n{}", " union all select 1".repeat(terms));
        let joins = |terms: usize| {
            let more: Vec<_> = (1..terms).map(|n| format!(" cross join (select 1 as a{n}) as t{n}")).collect();
            let more = more.concat();
            format!("select t0.a0 as n from (select 1 as a0) as t0{more}")
        };
        let deepest: [(&dyn Fn(usize) -> String, usize); 5] =
            [(&sum, 127), (&nots, 40), (&cases, 124), (&unions, 63), (&joins, 31)];
        for (text, terms) in deepest {
            let sql = text(terms);
            check("sql", &sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            let run = move || SQLContext::new().execute(&sql).and_then(LazyFrame::collect).map(|frame| frame.height());
            let thread = std::thread::Builder::new().stack_size(crate::make::STACK).spawn(run).unwrap();
            // Computed or refused by polars: the process lives.
            let _ = thread.join().unwrap();
            assert!(check("sql", &text(terms * 2 + 100)).is_err());
            let longest = (MAX_BYTES - 100) / 20;
            assert!(check("sql", &text(longest)).is_err());
        }
        assert!(check("sql", &sum((MAX_BYTES - 20) / 2)).is_err());
        assert!(check("sql", &" ".repeat(MAX_BYTES + 1)).is_err());
    }
}

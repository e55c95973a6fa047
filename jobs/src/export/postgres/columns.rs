//! What the columns of a query are and in which form the server shall send each.
//!
//! Types with a binary form that is known here come in it. Everything else (arrays, composites, ranges, intervals, network
//! addresses, types of extensions) the server turns into text itself, or into JSON where the file's format nests: it knows
//! its types best. Only then the query is wrapped in an outer one that casts.

use std::collections::BTreeMap;

use lovage_core::Invalid;
use lovage_formats::{Column, Type};
use sqlx::postgres::{PgColumn, PgTypeKind, types::Oid};
use sqlx::{Column as _, PgConnection};

use crate::export::dataset::{ColumnOptions, refuse_unknown};
use crate::export::plan::{File, Purpose};

/// The binary form of a field (`src/backend/utils/adt`, the `…send` functions).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Uuid,
    Json,
    Jsonb,
}

/// A value as its type itself writes it, as `COPY` does; a cast to text may differ (`inet` gets its mask), and `format` makes
/// an empty text of a null. `IS NULL` would not do: it also holds for a composite whose fields are all null.
const AS_TEXT: &str = "CASE WHEN num_nulls(?) = 0 THEN format('%s', ?) END";

/// All columns.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// As the encoder sees them.
    pub(super) columns: Vec<Column>,
    /// Their names in the query.
    pub(super) names: Vec<String>,
    /// As the manifest describes them.
    pub(super) described: Vec<lovage_artifacts::Column>,
    /// How each comes.
    pub(super) wires: Vec<Wire>,
    /// What the outer query does to each, if anything.
    casts: Vec<Option<&'static str>>,
    /// Casts to types that the configuration asks for.
    wanted: Vec<Option<Wanted>>,
}

/// A type that the configuration asks for, by its name in Postgres.
#[derive(Debug, Clone)]
struct Wanted {
    target: String,
    /// The column's own type, if a cast to the other could change a value: the server casts back and tells.
    back: Option<&'static str>,
}

impl Layout {
    pub(super) fn new(
        columns: &[PgColumn],
        typmods: &[Option<i32>],
        (options, key): (&BTreeMap<String, ColumnOptions>, Option<&str>),
        file: &File,
    ) -> Result<Self, Invalid> {
        refuse_unknown(options, columns)?;
        if let Some(key) = columns.iter().find(|column| Some(column.name()) == key) {
            // bigint, smallint, integer, text, varchar, uuid: those that compare with a bound of their own as they sort.
            let sorts = [20, 21, 23, 25, 1043, 2950].contains(&key.type_info().oid().map_or(0, |oid| oid.0));
            if !sorts {
                let help = "name a column of the type bigint, integer, smallint, text, varchar or uuid";
                return Err(Invalid::new(
                    "chunks.key",
                    format!("{:?} has the type {}", key.name(), key.type_info()),
                    help,
                ));
            }
        }
        let mut layout = Self {
            columns: Vec::new(),
            names: Vec::new(),
            described: Vec::new(),
            wires: Vec::new(),
            casts: Vec::new(),
            wanted: Vec::new(),
        };
        for (index, column) in columns.iter().enumerate() {
            let said = options.get(column.name());
            let label = said.and_then(|said| said.label.clone()).unwrap_or_else(|| column.name().to_owned());
            let type_name = column.type_info().to_string();
            layout.described.push(lovage_artifacts::Column { name: label.clone(), type_name });
            let (ty, wire, cast) = if let Some(ty) = said.map(ColumnOptions::ty).transpose()?.flatten() {
                let (wire, target) = wanted(ty);
                layout.wanted.push(Some(Wanted { target, back: back(column, ty) }));
                (ty, wire, None)
            } else {
                layout.wanted.push(None);
                own(column, typmods.get(index).copied().flatten(), file)
            };
            layout.columns.push(Column::new(label, ty));
            layout.names.push(column.name().to_owned());
            layout.wires.push(wire);
            layout.casts.push(cast);
        }
        Ok(layout)
    }

    /// The columns whose cast is checked, in order. For each of them a boolean follows the fields of every record: whether the
    /// value is still the same.
    pub(super) fn checked(&self) -> Vec<usize> {
        let checked =
            |(_, wanted): &(usize, &Option<Wanted>)| wanted.as_ref().is_some_and(|wanted| wanted.back.is_some());
        self.wanted.iter().enumerate().filter(checked).map(|(index, _)| index).collect()
    }

    /// The query, wrapped if a column needs a cast. Its columns get names of ours, because theirs may repeat or be missing;
    /// the order of its records stays, because the outer query has nothing to reorder them for.
    pub(super) fn select(&self, sql: &str) -> String {
        if self.casts.iter().all(Option::is_none) && self.wanted.iter().all(Option::is_none) {
            return sql.to_owned();
        }
        let (mut fields, mut names) = (Vec::new(), Vec::new());
        for (index, (cast, wanted)) in self.casts.iter().zip(&self.wanted).enumerate() {
            let name = format!("c{index}");
            fields.push(match (cast, wanted) {
                (_, Some(Wanted { target, .. })) => format!("{name}::{target}"),
                (Some(cast), None) => cast.replace('?', &name),
                (None, None) => name.clone(),
            });
            names.push(name);
        }
        for (name, wanted) in names.iter().zip(&self.wanted) {
            if let Some(Wanted { target, back: Some(back) }) = wanted {
                fields.push(format!("({name}::{target})::{back} IS NOT DISTINCT FROM {name}"));
            }
        }
        format!("SELECT {} FROM ({sql}\n) AS q({})", fields.join(", "), names.join(", "))
    }
}

/// What a column is by itself. SQL over a table compares UUIDs as the texts that people and other files write.
fn own(column: &PgColumn, typmod: Option<i32>, file: &File) -> (Type, Wire, Option<&'static str>) {
    let info = column.type_info();
    match info.kind() {
        PgTypeKind::Array(_) | PgTypeKind::Composite(_) if file.format.nests_as_json() => {
            return (Type::Json, Wire::Json, Some("to_json(?)::text"));
        }
        // An enum's label is its binary form.
        PgTypeKind::Enum(_) => return (Type::Text, Wire::Text, None),
        _ => {}
    }
    // The numbers of built-in types never change (src/include/catalog/pg_type.dat).
    match info.oid().map_or(0, |oid| oid.0) {
        16 => (Type::Bool, Wire::Bool, None),
        17 => (Type::Bytes, Wire::Bytes, None),
        20 => (Type::Int64, Wire::Int8, None),
        21 => (Type::Int16, Wire::Int2, None),
        23 => (Type::Int32, Wire::Int4, None),
        26 => (Type::Int64, Wire::Oid, None),
        // text, name, bpchar, varchar
        19 | 25 | 1042 | 1043 => (Type::Text, Wire::Text, None),
        114 => (Type::Json, Wire::Json, None),
        3802 => (Type::Json, Wire::Jsonb, None),
        700 => (Type::Float32, Wire::Float4, None),
        701 => (Type::Float64, Wire::Float8, None),
        1082 => (Type::Date, Wire::Date, None),
        1083 => (Type::Time, Wire::Time, None),
        1114 => (Type::Timestamp, Wire::Timestamp, None),
        1184 => (Type::TimestampTz, Wire::TimestampTz, None),
        1700 => (numeric(typmod), Wire::Numeric, None),
        2950 if file.purpose == Purpose::Export => (Type::Uuid, Wire::Uuid, None),
        _ => (Type::Text, Wire::Text, Some(AS_TEXT)),
    }
}

/// A numeric's size, if its column declares one (`numeric.c`, `numerictypmodin`).
fn numeric(typmod: Option<i32>) -> Type {
    let Some(typmod) = typmod.filter(|typmod| *typmod >= 4) else { return Type::Numeric };
    let (precision, scale) = ((typmod - 4) >> 16 & 0xffff, (((typmod - 4) & 0x7ff) ^ 1024) - 1024);
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => Type::Decimal { precision, scale },
        _ => Type::Numeric,
    }
}

/// The column's own type, if a cast from it to `ty` may round or cut.
fn back(column: &PgColumn, ty: Type) -> Option<&'static str> {
    let numbers = matches!(
        ty,
        Type::Int16 | Type::Int32 | Type::Int64 | Type::Float32 | Type::Float64 | Type::Decimal { .. } | Type::Numeric
    );
    let moments = matches!(ty, Type::Date | Type::Timestamp | Type::TimestampTz);
    match column.type_info().oid().map_or(0, |oid| oid.0) {
        20 if numbers => Some("bigint"),
        21 if numbers => Some("smallint"),
        23 if numbers => Some("integer"),
        700 if numbers => Some("real"),
        701 if numbers => Some("double precision"),
        1700 if numbers => Some("numeric"),
        1082 if moments => Some("date"),
        1114 if moments => Some("timestamp"),
        1184 if moments => Some("timestamptz"),
        _ => None,
    }
}

/// How a type that the configuration asks for comes, and its name in Postgres.
fn wanted(ty: Type) -> (Wire, String) {
    let (wire, name) = match ty {
        Type::Bool => (Wire::Bool, "boolean"),
        Type::Int16 => (Wire::Int2, "smallint"),
        Type::Int32 => (Wire::Int4, "integer"),
        Type::Int64 => (Wire::Int8, "bigint"),
        Type::Float32 => (Wire::Float4, "real"),
        Type::Float64 => (Wire::Float8, "double precision"),
        Type::Decimal { precision, scale } => return (Wire::Numeric, format!("numeric({precision},{scale})")),
        Type::Numeric => (Wire::Numeric, "numeric"),
        Type::Text | Type::Any => (Wire::Text, "text"),
        Type::Bytes => (Wire::Bytes, "bytea"),
        Type::Date => (Wire::Date, "date"),
        Type::Time => (Wire::Time, "time"),
        Type::Timestamp => (Wire::Timestamp, "timestamp"),
        Type::TimestampTz => (Wire::TimestampTz, "timestamptz"),
        Type::Uuid => (Wire::Uuid, "uuid"),
        Type::Json => (Wire::Json, "json"),
    };
    (wire, name.to_owned())
}

/// The declared sizes of columns that come straight from a table or view. The driver does not pass on the size that the
/// server tells with a column, so it is looked up where the column comes from; of an expression it is not known.
pub(super) async fn typmods(
    connection: &mut PgConnection,
    columns: &[PgColumn],
) -> Result<Vec<Option<i32>>, sqlx::Error> {
    let numeric = |column: &PgColumn| column.type_info().oid() == Some(Oid(1700));
    if !columns.iter().any(numeric) {
        return Ok(vec![None; columns.len()]);
    }
    let relations: Vec<Option<Oid>> = columns.iter().map(PgColumn::relation_id).collect();
    let numbers: Vec<Option<i16>> = columns.iter().map(PgColumn::relation_attribute_no).collect();
    let sql = "SELECT a.atttypmod FROM unnest($1::oid[], $2::int2[]) WITH ORDINALITY AS t(relation, number, place) \
               LEFT JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum = t.number ORDER BY place";
    sqlx::query_scalar(sql).bind(relations).bind(numbers).fetch_all(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_numerics_are_read_from_the_catalogue() {
        let typmod = |precision: i32, scale: i32| Some((precision << 16 | scale & 0x7ff) + 4);
        assert_eq!(numeric(typmod(18, 2)), Type::Decimal { precision: 18, scale: 2 });
        assert_eq!(numeric(typmod(38, 38)), Type::Decimal { precision: 38, scale: 38 });
        for other in [None, Some(-1), typmod(39, 2), typmod(5, -2), typmod(2, 5)] {
            assert_eq!(numeric(other), Type::Numeric, "{other:?}");
        }
    }
}

//! The parts of a workbook other than its records: small XML texts, the same for every workbook but for the sheets' names.

use super::text;

/// A sheet that is written.
pub(super) struct Sheet {
    pub(super) name: String,
    /// The last row that is filled, counted from 1; the first is the header.
    pub(super) rows: u32,
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
const TYPE: &str = "application/vnd.openxmlformats-officedocument";

/// `_rels/.rels`: where the workbook is.
pub(super) fn root() -> String {
    format!(
        concat!(
            r#"{}<Relationships xmlns="{}/relationships">"#,
            r#"<Relationship Id="rId1" Type="{}/officeDocument" Target="xl/workbook.xml"/>"#,
            r#"<Relationship Id="rId2" Type="{}/extended-properties" Target="docProps/app.xml"/></Relationships>"#,
        ),
        XML, PACKAGE, OFFICE, OFFICE
    )
}

/// `docProps/app.xml`: what wrote it. There is no part that says when, so the same records make the same bytes.
pub(super) fn properties() -> String {
    format!(
        r#"{XML}<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties"><Application>Lovage</Application></Properties>"#
    )
}

/// `xl/workbook.xml`: the sheets in their order, and what their filters cover.
pub(super) fn workbook(sheets: &[Sheet], last_column: Option<&str>) -> Vec<u8> {
    let mut out =
        format!(r#"{XML}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><bookViews><workbookView/></bookViews><sheets>"#)
            .into_bytes();
    for (number, sheet) in (1..).zip(sheets) {
        out.extend_from_slice(b"<sheet name=\"");
        push_attribute(&mut out, &sheet.name);
        out.extend_from_slice(format!("\" sheetId=\"{number}\" r:id=\"rId{number}\"/>").as_bytes());
    }
    out.extend_from_slice(b"</sheets>");
    if let Some(column) = last_column {
        out.extend_from_slice(b"<definedNames>");
        for (index, Sheet { name, rows }) in sheets.iter().enumerate() {
            let head = format!(r#"<definedName name="_xlnm._FilterDatabase" localSheetId="{index}" hidden="1">"#);
            out.extend_from_slice(head.as_bytes());
            text::push(&mut out, &format!("'{}'!$A$1:${column}${rows}", name.replace('\'', "''")));
            out.extend_from_slice(b"</definedName>");
        }
        out.extend_from_slice(b"</definedNames>");
    }
    out.extend_from_slice(b"</workbook>");
    out
}

/// `xl/_rels/workbook.xml.rels`: where the sheets and the styles are.
pub(super) fn relations(sheets: usize) -> String {
    let sheet = |number| {
        format!(r#"<Relationship Id="rId{number}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{number}.xml"/>"#)
    };
    let all: String = (1..=sheets).map(sheet).collect();
    let styles = sheets + 1;
    format!(
        r#"{XML}<Relationships xmlns="{PACKAGE}/relationships">{all}<Relationship Id="rId{styles}" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>"#
    )
}

/// `[Content_Types].xml`: what each part is.
pub(super) fn types(sheets: usize) -> String {
    let part = |name: &str, ty: &str| format!(r#"<Override PartName="/{name}" ContentType="{TYPE}.{ty}+xml"/>"#);
    let mut all = part("xl/workbook.xml", "spreadsheetml.sheet.main");
    for number in 1..=sheets {
        all += &part(&format!("xl/worksheets/sheet{number}.xml"), "spreadsheetml.worksheet");
    }
    all += &part("xl/styles.xml", "spreadsheetml.styles");
    all += &part("docProps/app.xml", "extended-properties");
    format!(
        concat!(
            r#"{}<Types xmlns="{}/content-types">"#,
            r#"<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>"#,
            r#"<Default Extension="xml" ContentType="application/xml"/>{}</Types>"#,
        ),
        XML, PACKAGE, all
    )
}

/// What stands in a sheet in front of its columns: the header stays in view.
pub(super) fn push_sheet_head(out: &mut Vec<u8>, first: bool) {
    let selected = if first { r#" tabSelected="1""# } else { "" };
    out.extend_from_slice(
        format!(
            concat!(
                r#"{}<worksheet xmlns="{}"><sheetViews><sheetView{} workbookViewId="0">"#,
                r#"<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>"#,
                r#"<selection pane="bottomLeft" activeCell="A2" sqref="A2"/></sheetView></sheetViews>"#,
                r#"<sheetFormatPr defaultRowHeight="15"/>"#,
            ),
            XML, MAIN, selected
        )
        .as_bytes(),
    );
}

/// What stands in a sheet behind its rows: the filter, and that numbers may well be kept as text.
pub(super) fn push_sheet_tail(out: &mut Vec<u8>, last_column: Option<&str>, rows: u32) {
    if let Some(column) = last_column {
        let all = format!("A1:{column}{rows}");
        out.extend_from_slice(
            format!(
                r#"<autoFilter ref="{all}"/><ignoredErrors><ignoredError sqref="{all}" numberStoredAsText="1"/></ignoredErrors>"#
            )
            .as_bytes(),
        );
    }
    out.extend_from_slice(b"</worksheet>");
}

fn push_attribute(out: &mut Vec<u8>, name: &str) {
    for (index, piece) in name.split('"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"&quot;");
        }
        text::push(out, piece);
    }
}

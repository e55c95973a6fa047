//! `export.report`: SQL over stored files, as a workbook or a file.

"""Tells as JSON what a workbook holds, read by somebody who did not write it: workbook.py FILE"""

import datetime
import json
import sys

import openpyxl


def plain(value):
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return value


def rows(sheet):
    return [[plain(cell.value) for cell in row] for row in sheet.iter_rows()]


formulas = openpyxl.load_workbook(sys.argv[1])
values = openpyxl.load_workbook(sys.argv[1], data_only=True)
told = []
for sheet in formulas.worksheets:
    told.append({
        "name": sheet.title,
        "cells": rows(values[sheet.title]),
        "formulas": [cell.value for row in sheet.iter_rows() for cell in row if cell.data_type == "f"],
        "formats": [cell.number_format for cell in list(sheet.iter_rows(min_row=2, max_row=2))[0]] if sheet.max_row > 1 else [],
        "frozen": sheet.freeze_panes,
        "filter": sheet.auto_filter.ref,
        "widths": [sheet.column_dimensions[letter].width for letter in ("A", "B")],
        "charts": [
            {"kind": type(chart).__name__, "series": [serie.val.numRef.f for serie in chart.series]}
            for chart in sheet._charts
        ],
    })
json.dump(told, sys.stdout)

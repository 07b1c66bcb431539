"""What a scan is shown as: a table, JSON, a page, SARIF, annotations. Nothing is imported before it is asked for."""

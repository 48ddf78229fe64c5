"""The report: work folders read back, then told and drawn in one HTML page."""

"""An exported student as a page that runs in the browser, with no server after the first visit: see docs/export.md."""

"""The report's figures: each takes the report and gives panels of inline SVG in the page's colours."""

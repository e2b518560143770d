"""What is on each page, and in each table's CSV file."""

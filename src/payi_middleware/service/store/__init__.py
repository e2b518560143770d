"""Where the ledger is kept: tables, transactions, migrations, and how money, times and names are stored."""

"""What pages read of the ledger. Everything is within the transaction of a `View`."""

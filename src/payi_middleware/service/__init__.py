"""The Pay-i compatible service and the embedded ledger: needs the extra `local`.

`ledger` keeps the accounts, `app` answers Pay-i's HTTP API from them. Both are imported where they are needed, never by
`import payi_middleware`: SQLAlchemy and the price catalogue are too heavy for an app that reports elsewhere.
"""

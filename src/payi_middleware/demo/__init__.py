"""Show what the middleware does on this machine alone: a stand-in provider, two example apps, the embedded ledger."""

"""The steps by which databases of earlier versions are brought up to date."""

"""Providers' APIs behind ours: a call is checked against its limits, passed on, and booked by what its answer says."""

"""What was spent, by whom, on what: pages for people, at the service's own address. They only read."""

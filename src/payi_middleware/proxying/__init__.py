"""Calls that go through Pay-i's proxy: which ones, what is taken out of their answers, and what if Pay-i is away."""

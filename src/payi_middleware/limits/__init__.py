"""Budgets that hold: may this call go out?"""

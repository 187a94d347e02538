"""Decisions, apart from the acts: plain functions from data to a decision with its reason. Time is passed in."""

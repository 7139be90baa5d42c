"""Evaluating the arms of a run: playing test questions, and turning episodes into results and a report."""

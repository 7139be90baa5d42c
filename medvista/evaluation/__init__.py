"""From finished episodes to tables, statistics and a report."""

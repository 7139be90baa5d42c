"""Pure maths: scoring, statistics, advantages, losses. Knows no model and no Lightning."""

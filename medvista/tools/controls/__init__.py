"""Controls: toolboxes that run calls elsewhere than asked, or show something else than they returned."""

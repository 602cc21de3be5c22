"""From what users download to the layouts that training reads."""

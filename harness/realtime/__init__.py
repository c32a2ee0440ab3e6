"""The replay: clock, schedule, feed, gate and collector; every stamp is made here."""

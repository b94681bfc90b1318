"""Course assignments: one source each, and a judge that shares no process with what it judges."""

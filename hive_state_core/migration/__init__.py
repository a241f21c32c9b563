"""Moving a hive from one store to another, through the replication port of both.

running    the whole of it for a hive at rest; start here
job        what is remembered of it in the stores, so that a killed run can be resumed
switching  the control rows: who may write, and when that goes over
copying    images from one store into the other
verifying  counts, digests and rows compared, by the port
rereading  and once more as a reader sees them, by nothing that the copy used
report     what was copied, and what differs
lines      a store as JSON Lines
"""

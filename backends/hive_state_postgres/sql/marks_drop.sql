DELETE FROM hive.marks WHERE ns = $1 AND sink = ANY ($2)

SELECT EXISTS (SELECT 1 FROM hive.marks WHERE ns = $1 AND sink = $2)

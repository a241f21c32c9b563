INSERT INTO hive.notes VALUES ($1, $2, $3) ON CONFLICT (ns, name) DO UPDATE SET value = excluded.value

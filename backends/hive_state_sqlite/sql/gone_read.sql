SELECT version FROM gone WHERE (ns, kind, name, part, seq) = (?, ?, ?, ?, ?)

"""What single steps of a function cost in the server: `python tests/redis/measure_steps.py`.

Microseconds for each of 100 in one call, by the server's own count, less those of a call that does nothing:
the least of some calls. Values have 600 bytes; the file is synced once a second.
"""

from __future__ import annotations

import msgspec
import redis

from hive_state_core.embedded import valkey_server

STEPS = {
    "nothing": "",
    "unpack a plan of 100": "if n == 1 then cmsgpack.unpack(args[1]) end",
    "join two strings": 'local key = keys[1] .. "name"',
    "GETRANGE": 'redis.call("GETRANGE", keys[1] .. n, 0, 300)',
    "SET": 'redis.call("SET", keys[1] .. n, args[1 + n])',
    "MSET of all": "all[2 * n - 1], all[2 * n] = keys[1] .. n, args[1 + n];"
    ' if n == 100 then redis.call("MSET", unpack(all)) end',
    "HGET": 'redis.call("HGET", keys[1] .. "h", n)',
    "HMGET of all": 'all[n] = n; if n == 100 then redis.call("HMGET", keys[1] .. "h", unpack(all)) end',
    "HSET": 'redis.call("HSET", keys[1] .. "h", n, args[1 + n])',
    "EXISTS": 'redis.call("EXISTS", keys[1] .. n)',
    "EXISTS of all": 'all[n] = keys[1] .. n; if n == 100 then redis.call("EXISTS", unpack(all)) end',
    "pack a task": "cmsgpack.pack(unpack(task, 1, 22))",
    "unpack a task": "packed = packed or cmsgpack.pack(task); cmsgpack.unpack(packed)",
}
CALLS = 100
TASK = (
    "{9e15, 1.7e12, 9e15, 1.7e12, 0, 1, 4, false, false, 'work', 'agent', '',"
    " 5, 77, 1.7e12, '', {}, 0, 3, '', 0, false}"
)


def library() -> str:
    functions = [
        f"redis.register_function('step{number}', function(keys, args)"
        f" local all, packed, task = {{}}, nil, {TASK} for n = 1, 100 do {step} end return 1 end)"
        for number, step in enumerate(STEPS.values())
    ]
    return "\n".join(["#!lua name=steps", *functions])


def main() -> None:
    plan = msgspec.msgpack.encode([(1, f"agents\0agent-{n:06d}", n, False, None, None) for n in range(100)])
    with valkey_server(fsync="everysec") as server:
        client = redis.Redis.from_url(server.url)
        client.function_load(library())
        least = dict.fromkeys(STEPS, float("inf"))
        for _ in range(CALLS):
            for number, name in enumerate(STEPS):
                client.config_resetstat()
                client.fcall(f"step{number}", 1, "{x}k", plan, *[b"x" * 600] * 100)
                least[name] = min(least[name], client.info("commandstats")["cmdstat_fcall"]["usec"] / 100)
        for name, spent in least.items():
            print(f"{name:22} {spent - least['nothing']:5.2f} us")


if __name__ == "__main__":
    main()

"""The scripts of the shared state. Each may be run twice: the second run finds what the first one left."""

TAKE = """#!lua
-- KEYS: minute (sorted set of calls by time), tokens (a counter), calls (sorted set by end of lease)
-- call, tokens, rpm, tpm, concurrency (-1: no limit), lease of a slot in s
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - 60)
for _, member in ipairs(over) do
  local counted = string.match(member, ' (%d+)$')
  if counted then redis.call('DECRBY', KEYS[2], counted) end
  redis.call('ZREM', KEYS[1], member)
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local tokens, rpm, tpm, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local member = ARGV[1] .. ' ' .. ARGV[2]
if redis.call('ZSCORE', KEYS[1], member) then return '' end  -- the answer to the first run was lost on its way
if most >= 0 and redis.call('ZCARD', KEYS[3]) >= most then return 'concurrency' end
if rpm >= 0 and redis.call('ZCARD', KEYS[1]) >= rpm then return 'rpm' end
if tpm >= 0 and tonumber(redis.call('GET', KEYS[2]) or '0') + tokens > tpm then return 'tpm' end
redis.call('ZADD', KEYS[1], now, member)
redis.call('INCRBY', KEYS[2], ARGV[2])
if most >= 0 then redis.call('ZADD', KEYS[3], now + tonumber(ARGV[6]), ARGV[1]) end
redis.call('EXPIRE', KEYS[1], 120)
redis.call('EXPIRE', KEYS[2], 120)
redis.call('EXPIRE', KEYS[3], 7200)
return ''
"""

RENEW = """#!lua flags=allow-oom
-- KEYS: calls; lease in s, then calls that are still under way. One that was given back stays so.
local t = redis.call('TIME')
local ends = tonumber(t[1]) + tonumber(t[2]) / 1000000 + tonumber(ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', ends, ARGV[i]) end
redis.call('EXPIRE', KEYS[1], 7200)
return ''
"""

EJECT = """#!lua
-- KEYS: ejections (a hash of place to "until who reason"); place, for how many seconds, who, reason
local t = redis.call('TIME')
local ends = tonumber(t[1]) + tonumber(t[2]) / 1000000 + tonumber(ARGV[2])
local found = redis.call('HGET', KEYS[1], ARGV[1])
local known = found and tonumber(string.match(found, '^(%S+)') or '')
if not known or known ~= known or known > 1e12 or known < ends then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.3f', ends) .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
end
redis.call('EXPIRE', KEYS[1], 86400)
return ''
"""

LISTEN = """#!lua flags=allow-oom
-- KEYS: ejections. The server's time, then places and what is said of them.
local t = redis.call('TIME')
return {t[1] .. '.' .. string.format('%06d', tonumber(t[2])), redis.call('HGETALL', KEYS[1])}
"""

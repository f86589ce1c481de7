"""The Lua scripts. Each is one step: nobody sees, or can stop, the half of one.

Lua's numbers are doubles and hold whole numbers up to 2^53 only. Amounts are therefore texts: Redis adds
them exactly (HINCRBY, 64 bits), and sums are compared here in two limbs of at most ten and nine digits.

All keys begin with KEYS[1]: meta (a hash), seq (a counter), entries (a stream), keys (a set of balances'
names), b:<key> (a balance: s, r, scope), h:<hold> (a hold), leases and holds (sorted sets by end of lease).
"""

_COMMON = """
local P = KEYS[1]
if redis.call('HGET', P .. ':meta', 'epoch') ~= ARGV[1] then return {'flushed'} end
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local nowtext = t[1] .. '.' .. string.format('%06d', tonumber(t[2]))

local function limbs(text)
  local n = #text
  if n <= 9 then return 0, tonumber(text) end
  return tonumber(string.sub(text, 1, n - 9)), tonumber(string.sub(text, n - 8))
end
local function text_of(hi, lo)
  hi = hi + math.floor(lo / 1000000000)
  lo = lo % 1000000000
  if hi == 0 then return string.format('%.0f', lo) end
  return string.format('%.0f%09.0f', hi, lo)
end
local function minus(a, b)  -- a - b of texts, with its sign
  local ah, al = limbs(a)
  local bh, bl = limbs(b)
  local hi, lo = ah - bh, al - bl
  if hi < 0 or (hi == 0 and lo < 0) then
    hi, lo = -hi, -lo
    if lo < 0 then hi, lo = hi - 1, lo + 1000000000 end
    return '-' .. text_of(hi, lo)
  end
  if lo < 0 then hi, lo = hi - 1, lo + 1000000000 end
  return text_of(hi, lo)
end
local function negative(text)
  if text == '0' then return '0' end
  if string.sub(text, 1, 1) == '-' then return string.sub(text, 2) end
  return '-' .. text
end
local function enter(kind, hold, keys, spent, reserved, dep, req)
  for _, pair in ipairs(keys) do
    local b = P .. ':b:' .. pair[1]
    if redis.call('HSETNX', b, 'scope', pair[2]) == 1 then redis.call('SADD', P .. ':keys', pair[1]) end
    if spent ~= '0' then redis.call('HINCRBY', b, 's', spent) end
    if reserved ~= '0' then redis.call('HINCRBY', b, 'r', reserved) end
    local seq = string.format('%.0f', redis.call('INCR', P .. ':seq'))
    redis.call('XADD', P .. ':entries', seq .. '-1', 'at', nowtext, 'kind', kind, 'hold', hold, 'key', pair[1],
      'scope', pair[2], 'spent', spent, 'reserved', reserved, 'dep', dep, 'req', req)
  end
end
local function hold_of(id)
  local h = redis.call('HMGET', P .. ':h:' .. id, 'state', 'amount', 'keys', 'dep', 'req', 'exp')
  if not h[1] then return nil end
  return {state = h[1], amount = h[2], keys = cjson.decode(h[3]), dep = h[4], req = h[5], exp = tonumber(h[6])}
end
local function forget(id)
  redis.call('DEL', P .. ':h:' .. id)
  redis.call('ZREM', P .. ':leases', id)
  redis.call('ZREM', P .. ':holds', id)
end
local function expire()
  local lost = redis.call('ZRANGEBYSCORE', P .. ':leases', '-inf', nowtext, 'LIMIT', 0, 1000)
  for _, id in ipairs(lost) do
    local h = hold_of(id)
    redis.call('ZREM', P .. ':leases', id)
    if h and h.state == 'sent' then
      redis.call('HSET', P .. ':h:' .. id, 'state', 'uncertain')
      enter('uncertain', id, h.keys, h.amount, negative(h.amount), h.dep, h.req)
    elseif h and h.state == 'reserved' then
      redis.call('HSET', P .. ':h:' .. id, 'state', 'expired')
      enter('expire', id, h.keys, '0', negative(h.amount), h.dep, h.req)
    end
  end
  if #lost > 0 then  -- what was given back is remembered for a week
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':holds', '-inf', now - 604800, 'LIMIT', 0, 1000)) do
      if redis.call('HGET', P .. ':h:' .. id, 'state') == 'expired' then forget(id) end
    end
  end
end
"""

RESERVE = (
    _COMMON
    + """
-- epoch, id, amount, lease in s, deployment, request, keys as JSON, then per charge:
-- scope, limit, whether it is hard (and the amount not nothing), number of keys, keys
expire()
local id, amount = ARGV[2], ARGV[3]
local state = redis.call('HGET', P .. ':h:' .. id, 'state')
if state == 'reserved' or state == 'sent' then return {'ok'} end
if state then return {'lost', state} end
local ah, al = limbs(amount)
local i = 8
while i <= #ARGV do
  local limit, hard, count = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  if hard == '1' then
    local sh, sl, rh, rl = 0, 0, 0, 0
    for k = i + 4, i + 3 + count do
      local b = redis.call('HMGET', P .. ':b:' .. ARGV[k], 's', 'r')
      local h, l = limbs(b[1] or '0')
      sh, sl = sh + h, sl + l
      h, l = limbs(b[2] or '0')
      rh, rl = rh + h, rl + l
    end
    local uh, ul = sh + rh + ah, sl + rl + al
    uh, ul = uh + math.floor(ul / 1000000000), ul % 1000000000
    local lh, ll = limbs(limit)
    if uh > lh or (uh == lh and ul > ll) then
      return {'refused', ARGV[i], text_of(sh, sl), text_of(rh, rl)}
    end
  end
  i = i + 4 + count
end
local exp = string.format('%.6f', now + tonumber(ARGV[4]))
redis.call('HSET', P .. ':h:' .. id, 'state', 'reserved', 'amount', amount, 'keys', ARGV[7], 'dep', ARGV[5],
  'req', ARGV[6], 'exp', exp)
redis.call('ZADD', P .. ':leases', exp, id)
redis.call('ZADD', P .. ':holds', exp, id)
enter('reserve', id, cjson.decode(ARGV[7]), '0', amount, ARGV[5], ARGV[6])
return {'ok'}
"""
)

MARK_SENT = (
    _COMMON
    + """
-- epoch, id
local h = hold_of(ARGV[2])
if not h or (h.state ~= 'reserved' and h.state ~= 'sent') or h.exp <= now then return {'gone'} end
redis.call('HSET', P .. ':h:' .. ARGV[2], 'state', 'sent')
return {'ok'}
"""
)

END = (
    _COMMON
    + """
-- epoch, id, actual, kind ('settle' or 'release')
local h = hold_of(ARGV[2])
if not h then return {'ok'} end
forget(ARGV[2])
local spent, reserved = ARGV[3], negative(h.amount)
if h.state == 'uncertain' then
  spent, reserved = minus(spent, h.amount), '0'
elseif h.state == 'expired' then
  reserved = '0'
end
enter(ARGV[4], ARGV[2], h.keys, spent, reserved, h.dep, h.req)
return {'ok'}
"""
)

CORRECT = (
    _COMMON
    + """
-- epoch, id, actual
expire()
local h = hold_of(ARGV[2])
if not h or h.state ~= 'uncertain' then return {'none'} end
forget(ARGV[2])
enter('correct', ARGV[2], h.keys, minus(ARGV[3], h.amount), '0', h.dep, h.req)
return {'ok'}
"""
)

BALANCE = (
    _COMMON
    + """
-- epoch, keys
local sh, sl, rh, rl = 0, 0, 0, 0
for k = 2, #ARGV do
  local b = redis.call('HMGET', P .. ':b:' .. ARGV[k], 's', 'r')
  local h, l = limbs(b[1] or '0')
  sh, sl = sh + h, sl + l
  h, l = limbs(b[2] or '0')
  rh, rl = rh + h, rl + l
end
return {'ok', text_of(sh, sl), text_of(rh, rl)}
"""
)

HOLDS = (
    _COMMON
    + """
-- epoch
expire()
local found = {'ok'}
for _, id in ipairs(redis.call('ZRANGE', P .. ':holds', 0, -1)) do
  local h = redis.call('HMGET', P .. ':h:' .. id, 'state', 'amount', 'keys', 'exp', 'dep', 'req')
  if h[1] then table.insert(found, {id, h[1], h[2], h[3], h[4], h[5], h[6]}) end
end
return found
"""
)

SNAPSHOT = (
    _COMMON
    + """
-- epoch; the last entry's number, then each balance, all as of one moment
local found = {'ok', redis.call('GET', P .. ':seq') or '0'}
for _, key in ipairs(redis.call('SMEMBERS', P .. ':keys')) do
  local b = redis.call('HMGET', P .. ':b:' .. key, 'scope', 's', 'r')
  table.insert(found, {key, b[1], b[2] or '0', b[3] or '0'})
end
local holds = {}
for _, id in ipairs(redis.call('ZRANGE', P .. ':leases', 0, -1)) do
  local h = redis.call('HMGET', P .. ':h:' .. id, 'state', 'amount', 'keys')
  if h[1] == 'reserved' or h[1] == 'sent' then table.insert(holds, {id, h[2], h[3]}) end
end
table.insert(found, {'', holds})
return found
"""
)

TAKE = """
-- KEYS: minute (sorted set of calls by time), tokens (a counter), calls (sorted set by latest end)
-- call, tokens, rpm, tpm, concurrency (-1: no limit)
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - 60)
for _, member in ipairs(over) do
  redis.call('DECRBY', KEYS[2], string.match(member, ' (%d+)$'))
  redis.call('ZREM', KEYS[1], member)
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local tokens, rpm, tpm, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if most >= 0 and redis.call('ZCARD', KEYS[3]) >= most then return 'concurrency' end
if rpm >= 0 and redis.call('ZCARD', KEYS[1]) >= rpm then return 'rpm' end
if tpm >= 0 and tonumber(redis.call('GET', KEYS[2]) or '0') + tokens > tpm then return 'tpm' end
redis.call('ZADD', KEYS[1], now, ARGV[1] .. ' ' .. ARGV[2])
redis.call('INCRBY', KEYS[2], ARGV[2])
if most >= 0 then redis.call('ZADD', KEYS[3], now + 3600, ARGV[1]) end
redis.call('EXPIRE', KEYS[1], 120)
redis.call('EXPIRE', KEYS[2], 120)
redis.call('EXPIRE', KEYS[3], 7200)
return ''
"""

EJECT = """
-- KEYS: ejections (a hash of place to "until who reason"); place, until, who, reason
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found or tonumber(string.match(found, '^(%S+)')) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
end
redis.call('EXPIRE', KEYS[1], 86400)
return ''
"""

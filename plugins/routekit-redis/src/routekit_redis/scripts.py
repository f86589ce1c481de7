"""The Lua scripts. Each is one step: nobody sees the half of one, and what could stop one is looked at before its first
write.

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
local LARGEST_HI, LARGEST_LO = 9223372036, 854775807  -- what HINCRBY can add up to
local WRITES = {
  {'XADD', '*', 'a', 'b'}, {'HSET', 'a', 'b'}, {'HSETNX', 'a', 'b'}, {'HINCRBY', 'a', '1'}, {'SADD', 'a'}, {'INCR'},
  {'ZADD', '1', 'a'}, {'ZREM', 'a'}, {'DEL'},
}

local function whole(text)
  return type(text) == 'string' and #text <= 19 and string.match(text, '^%d+$') ~= nil
end
local function is_a(key, kind)
  local found = redis.call('TYPE', key)['ok']
  return found == 'none' or found == kind
end
-- What keeps `enter` from writing all of it, looked at before the first write: Redis does not take back the half of a
-- script that fails. nil: nothing does. Else {'forbidden', command}, or {'damaged', key}.
local function obstacle(hold, keys, added)
  for _, command in ipairs(WRITES) do
    local may = redis.acl_check_cmd(command[1], P .. ':entries', unpack(command, 2))
    if not may then return {'forbidden', command[1]} end
  end
  local kinds = {seq = 'string', entries = 'stream', keys = 'set', leases = 'zset', holds = 'zset'}
  for name, kind in pairs(kinds) do
    if not is_a(P .. ':' .. name, kind) then return {'damaged', P .. ':' .. name} end
  end
  local seq = redis.call('GET', P .. ':seq')
  if seq and not whole(seq) then return {'damaged', P .. ':seq'} end
  if not is_a(P .. ':h:' .. hold, 'hash') then return {'damaged', P .. ':h:' .. hold} end
  for _, pair in ipairs(keys) do
    local b = P .. ':b:' .. pair[1]
    if not is_a(b, 'hash') then return {'damaged', pair[1]} end
    for _, text in ipairs(redis.call('HMGET', b, 's', 'r')) do
      if text then
        if not whole(text) then return {'damaged', pair[1]} end
        local hi, lo = limbs(text)
        local ah, al = limbs(added)
        hi, lo = hi + ah + math.floor((lo + al) / 1000000000), (lo + al) % 1000000000
        if hi > LARGEST_HI or (hi == LARGEST_HI and lo > LARGEST_LO) then return {'damaged', pair[1]} end
      end
    end
  end
  return nil
end
local function pairs_of(text)
  if type(text) ~= 'string' then return nil end
  local ok, keys = pcall(cjson.decode, text)
  if not ok or type(keys) ~= 'table' then return nil end
  for _, pair in ipairs(keys) do
    if type(pair) ~= 'table' or type(pair[1]) ~= 'string' or type(pair[2]) ~= 'string' then return nil end
  end
  return keys
end
local function enter(kind, hold, keys, spent, reserved, dep, req)
  for _, pair in ipairs(keys) do
    local b = P .. ':b:' .. pair[1]
    local seq = string.format('%.0f', redis.call('INCR', P .. ':seq'))
    redis.call('XADD', P .. ':entries', seq .. '-1', 'at', nowtext, 'kind', kind, 'hold', hold, 'key', pair[1],
      'scope', pair[2], 'spent', spent, 'reserved', reserved, 'dep', dep, 'req', req)
    if redis.call('HSETNX', b, 'scope', pair[2]) == 1 then redis.call('SADD', P .. ':keys', pair[1]) end
    if spent ~= '0' then redis.call('HINCRBY', b, 's', spent) end
    if reserved ~= '0' then redis.call('HINCRBY', b, 'r', reserved) end
  end
end
-- The hold; nil where there is none, and {damaged = true} where what is there cannot be read.
local function hold_of(id)
  local key = P .. ':h:' .. id
  if not is_a(key, 'hash') then return {damaged = true} end
  local h = redis.call('HMGET', key, 'state', 'amount', 'keys', 'dep', 'req', 'exp')
  if not h[1] and not h[3] then return nil end
  local keys = pairs_of(h[3])
  if h[1] == 'damaged' or not h[1] or not keys or not whole(h[2]) or not tonumber(h[6]) then return {damaged = true} end
  return {state = h[1], amount = h[2], keys = keys, dep = h[4] or '', req = h[5] or '', exp = tonumber(h[6])}
end
local function forget(id)
  redis.call('DEL', P .. ':h:' .. id)
  redis.call('ZREM', P .. ':leases', id)
  redis.call('ZREM', P .. ':holds', id)
end
-- A hold that cannot be ended blocks nobody: it is shown by HOLDS, and never tried again.
local function put_aside(id)
  if is_a(P .. ':h:' .. id, 'hash') then redis.call('HSET', P .. ':h:' .. id, 'state', 'damaged') end
  redis.call('ZREM', P .. ':leases', id)
end
-- nil, or what forbids it to write.
local function expire()
  local lost = redis.call('ZRANGEBYSCORE', P .. ':leases', '-inf', nowtext, 'LIMIT', 0, 1000)
  for _, id in ipairs(lost) do
    local h = hold_of(id)
    local why = h and not h.damaged and obstacle(id, h.keys, h.amount)
    if why and why[1] == 'forbidden' then return why end
    if h and (h.damaged or why) then
      put_aside(id)
    elseif h and h.state == 'sent' then
      enter('uncertain', id, h.keys, h.amount, negative(h.amount), h.dep, h.req)
      redis.call('HSET', P .. ':h:' .. id, 'state', 'uncertain')
      redis.call('ZREM', P .. ':leases', id)
    elseif h and h.state == 'reserved' then
      enter('expire', id, h.keys, '0', negative(h.amount), h.dep, h.req)
      redis.call('HSET', P .. ':h:' .. id, 'state', 'expired')
      redis.call('ZREM', P .. ':leases', id)
    else
      redis.call('ZREM', P .. ':leases', id)
    end
  end
  if #lost > 0 then  -- what was given back is remembered for a week
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':holds', '-inf', now - 604800, 'LIMIT', 0, 1000)) do
      local h = hold_of(id)
      if h and h.state == 'expired' then forget(id) end
    end
  end
  return nil
end
"""

RESERVE = (
    _COMMON
    + """
-- epoch, id, amount, lease in s, deployment, request, keys as JSON, then per charge:
-- scope, limit, whether it is hard (and the amount not nothing), number of keys, keys
local id, amount, charged = ARGV[2], ARGV[3], pairs_of(ARGV[7])
if not charged or not whole(amount) or not tonumber(ARGV[4]) then return {'damaged', id} end
local why = obstacle(id, charged, amount)
if why then return why end
why = expire()
if why then return why end
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
      if not is_a(P .. ':b:' .. ARGV[k], 'hash') then return {'damaged', ARGV[k]} end
      local b = redis.call('HMGET', P .. ':b:' .. ARGV[k], 's', 'r')
      if not whole(b[1] or '0') or not whole(b[2] or '0') then return {'damaged', ARGV[k]} end
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
enter('reserve', id, charged, '0', amount, ARGV[5], ARGV[6])
redis.call('HSET', P .. ':h:' .. id, 'state', 'reserved', 'amount', amount, 'keys', ARGV[7], 'dep', ARGV[5],
  'req', ARGV[6], 'exp', exp)
redis.call('ZADD', P .. ':leases', exp, id)
redis.call('ZADD', P .. ':holds', exp, id)
return {'ok'}
"""
)

MARK_SENT = (
    _COMMON
    + """
-- epoch, id
local h = hold_of(ARGV[2])
if not h or h.damaged or (h.state ~= 'reserved' and h.state ~= 'sent') or h.exp <= now then return {'gone'} end
redis.call('HSET', P .. ':h:' .. ARGV[2], 'state', 'sent')
return {'ok'}
"""
)

RENEW = (
    _COMMON
    + """
-- epoch, id, lease in s
local h = hold_of(ARGV[2])
if not h or h.damaged or (h.state ~= 'reserved' and h.state ~= 'sent') then return {'gone'} end
local exp = string.format('%.6f', now + tonumber(ARGV[3]))
redis.call('HSET', P .. ':h:' .. ARGV[2], 'exp', exp)
redis.call('ZADD', P .. ':leases', exp, ARGV[2])
redis.call('ZADD', P .. ':holds', exp, ARGV[2])
return {'ok'}
"""
)

END = (
    _COMMON
    + """
-- epoch, then for each end: id, actual, kind ('settle', 'release', or 'uncertain': its whole amount counts as spent,
-- and it stays to be corrected). One that cannot be written stops no other one.
local damaged = {'ok'}
for i = 2, #ARGV, 3 do
  local id, actual, kind = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local h = hold_of(id)
  local why = h and not h.damaged and whole(actual) and obstacle(id, h.keys, actual)
  if why and why[1] == 'forbidden' then return why end
  if h and (h.damaged or why or not whole(actual)) then
    put_aside(id)
    table.insert(damaged, id)
  elseif h and kind == 'uncertain' then
    if h.state ~= 'uncertain' then
      enter('uncertain', id, h.keys, h.amount, h.state == 'expired' and '0' or negative(h.amount), h.dep, h.req)
      redis.call('HSET', P .. ':h:' .. id, 'state', 'uncertain')
      redis.call('ZREM', P .. ':leases', id)
    end
  elseif h then
    local spent, reserved = actual, negative(h.amount)
    if h.state == 'uncertain' then
      spent, reserved = minus(spent, h.amount), '0'
    elseif h.state == 'expired' then
      reserved = '0'
    end
    enter(kind, id, h.keys, spent, reserved, h.dep, h.req)
    forget(id)
  end
end
return damaged
"""
)

CORRECT = (
    _COMMON
    + """
-- epoch, id, actual
local why = expire()
if why then return why end
local h = hold_of(ARGV[2])
if not h or h.state ~= 'uncertain' then return {'none'} end
why = obstacle(ARGV[2], h.keys, ARGV[3])
if why then return why end
enter('correct', ARGV[2], h.keys, minus(ARGV[3], h.amount), '0', h.dep, h.req)
forget(ARGV[2])
return {'ok'}
"""
)

BALANCE = (
    _COMMON
    + """
-- epoch, keys
local sh, sl, rh, rl = 0, 0, 0, 0
for k = 2, #ARGV do
  if not is_a(P .. ':b:' .. ARGV[k], 'hash') then return {'damaged', ARGV[k]} end
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
local why = expire()
if why then return why end
local found = {'ok'}
for _, id in ipairs(redis.call('ZRANGE', P .. ':holds', 0, -1)) do
  local h = hold_of(id)
  if h and h.damaged then
    table.insert(found, {id, 'damaged', '0', '[]', redis.call('ZSCORE', P .. ':holds', id), '', ''})
  elseif h then
    table.insert(found, {id, h.state, h.amount, cjson.encode(h.keys), string.format('%.6f', h.exp), h.dep, h.req})
  end
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
  local b = {false, false, false}
  if is_a(P .. ':b:' .. key, 'hash') then b = redis.call('HMGET', P .. ':b:' .. key, 'scope', 's', 'r') end
  local sound = whole(b[2] or '0') and whole(b[3] or '0')
  table.insert(found, {key, b[1] or '', sound and b[2] or '0', sound and b[3] or '0'})
end
local holds = {}
for _, id in ipairs(redis.call('ZRANGE', P .. ':leases', 0, -1)) do
  local h = hold_of(id)
  if h and (h.state == 'reserved' or h.state == 'sent') then
    table.insert(holds, {id, h.amount, cjson.encode(h.keys)})
  end
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
  local counted = string.match(member, ' (%d+)$')
  if counted then redis.call('DECRBY', KEYS[2], counted) end
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
local known = found and tonumber(string.match(found, '^(%S+)') or '')
if not known or known ~= known or known > 1e12 or known < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
end
redis.call('EXPIRE', KEYS[1], 86400)
return ''
"""

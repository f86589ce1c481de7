"""The steps of the ledger that write. What they begin with, their keys and answers: see `lua`."""

from routekit_redis.lua import HEAD, WRITING

_LUA = "#!lua\n"
_ALSO_WHEN_FULL = "#!lua flags=allow-oom\n"
"""Ends free more than they take, and must get through to a server whose memory is full."""

_COMMON = HEAD + WRITING

RESERVE = (
    _LUA
    + _COMMON
    + """
-- id, its tag, amount, lease in s, deployment, request, whether the call leaves at once, keys as JSON, then per charge:
-- place, limit, whether it is hard (and the amount not nothing), number of keys, keys with the ends of their windows
local id, tag, amount, charged, sent = ARGV[5], ARGV[6], ARGV[7], pairs_of(ARGV[12]), ARGV[11] == '1'
if not charged or not whole(amount) or not tonumber(ARGV[8]) then return says('damaged', id) end
local why = forbidden()
if why then return why end
local h = hold_of(id)
if h and h.damaged then return says('lost', 'damaged') end
if h and (h.state == 'reserved' or h.state == 'sent') then
  if h.exp <= now then return says('due', id) end
  if sent and h.state == 'reserved' then redis.call('HSET', P .. ':h:' .. id, 'state', 'sent') end
  return says('ok')
end
if h then return says('lost', h.state) end
if has_ended(tag) then return says('lost', 'ended') end
why = obstacle(id, charged, amount)
if why then return why end
local ah, al = limbs(amount)
local i = 13
while i <= #ARGV do
  local limit, hard, count = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  if hard == '1' then
    local sh, sl, rh, rl = 0, 0, 0, 0
    for k = i + 4, i + 2 + 2 * count, 2 do
      local s, r = balance_of(ARGV[k], tonumber(ARGV[k + 1]))
      if not s then return r end
      local hi, lo = limbs(s)
      sh, sl = sh + hi, sl + lo
      hi, lo = limbs(r)
      rh, rl = rh + hi, rl + lo
    end
    local uh, ul = sh + rh + ah, sl + rl + al
    uh, ul = uh + math.floor(ul / 1000000000), ul % 1000000000
    local lh, ll = limbs(limit)
    if uh > lh or (uh == lh and ul > ll) then
      local due = redis.call('ZRANGEBYSCORE', P .. ':leases', '-inf', nowtext, 'LIMIT', 0, 1)
      if #due > 0 then return says('due', ARGV[i], text_of(sh, sl), text_of(rh, rl)) end
      return says('refused', ARGV[i], text_of(sh, sl), text_of(rh, rl))
    end
  end
  i = i + 4 + 2 * count
end
local exp = string.format('%.6f', now + tonumber(ARGV[8]))
enter('reserve', id, dated(charged), '0', amount, ARGV[9], ARGV[10])
redis.call('HSET', P .. ':h:' .. id, 'state', sent and 'sent' or 'reserved', 'amount', amount,
  'keys', cjson.encode(charged), 'dep', ARGV[9], 'req', ARGV[10], 'exp', exp)
redis.call('ZADD', P .. ':leases', exp, id)
redis.call('ZADD', P .. ':holds', exp, id)
return says('ok')
"""
)

MARK_SENT = (
    _LUA
    + HEAD
    + """
-- id
local h = hold_of(ARGV[5])
if not h or h.damaged or (h.state ~= 'reserved' and h.state ~= 'sent') or h.exp <= now then return says('gone') end
redis.call('HSET', P .. ':h:' .. ARGV[5], 'state', 'sent')
return says('ok')
"""
)

RENEW = (
    _LUA
    + HEAD
    + """
-- id, lease in s
local h = hold_of(ARGV[5])
if not h or h.damaged or (h.state ~= 'reserved' and h.state ~= 'sent') then return says('gone') end
local exp = string.format('%.6f', now + tonumber(ARGV[6]))
redis.call('HSET', P .. ':h:' .. ARGV[5], 'exp', exp)
redis.call('ZADD', P .. ':leases', exp, ARGV[5])
redis.call('ZADD', P .. ':holds', exp, ARGV[5])
return says('ok')
"""
)

END = (
    _ALSO_WHEN_FULL
    + _COMMON
    + """
-- keys whose balances are asked for, as JSON, then for each end: id, its tag, actual, kind ('settle', 'release', or
-- 'uncertain': its whole amount counts as spent, and it stays to be corrected), whether the caller has seen the hold
-- taken, amount, deployment, request, keys as JSON. One that cannot be written stops no other one.
-- Answers with lists: damaged holds, {hold, keys} that must be named in KEYS, {hold, what is missing}, balances.
local why = forbidden()
if why then return why end
local damaged, elsewhere, stuck = {}, {}, {}
for i = 6, #ARGV, 9 do
  local id, tag, actual, kind = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local h = hold_of(id)
  local lost = false
  if not h and ARGV[i + 4] == '1' and not has_ended(tag) then
    -- It was taken, and the server has lost it: what the caller knows is booked.
    local keys = pairs_of(ARGV[i + 8])
    lost = keys ~= nil and whole(ARGV[i + 5])
    h = lost and {state = 'lost', amount = ARGV[i + 5], keys = dated(keys), dep = ARGV[i + 6], req = ARGV[i + 7]} or nil
  end
  local open = h and not h.damaged
  if open and not known(h.keys) then
    table.insert(elsewhere, {id, cjson.encode(h.keys)})
  else
    local block = open and whole(actual) and obstacle(id, h.keys, actual)
    if block and block[1] == 'missing' then
      table.insert(stuck, {id, block[4]})
    elseif h and (h.damaged or block or not whole(actual)) then
      put_aside(id)
      table.insert(damaged, id)
    elseif h and kind == 'uncertain' then
      if h.state ~= 'uncertain' then
        local held = h.state == 'reserved' or h.state == 'sent'
        enter('uncertain', id, h.keys, h.amount, held and negative(h.amount) or '0', h.dep, h.req)
        redis.call('HSET', P .. ':h:' .. id, 'state', 'uncertain', 'amount', h.amount, 'keys', cjson.encode(h.keys),
          'dep', h.dep, 'req', h.req, 'exp', nowtext)
        redis.call('ZREM', P .. ':leases', id)
        redis.call('ZADD', P .. ':holds', nowtext, id)
      end
    elseif h then
      local spent, reserved = actual, negative(h.amount)
      if h.state == 'uncertain' then
        spent, reserved = minus(spent, h.amount), '0'
      elseif h.state == 'expired' or lost then
        reserved = '0'
      end
      if not lost or spent ~= '0' then enter(kind, id, h.keys, spent, reserved, h.dep, h.req) end
      forget(id)
      remember(tag)
    else
      remember(tag)
    end
  end
end
local balances = {}
for _, name in ipairs(cjson.decode(ARGV[5])) do
  local s, r = balance_of(name, 0)
  if s then table.insert(balances, {name, s, r}) end
end
return says('ok', damaged, elsewhere, stuck, balances)
"""
)

LAPSE = (
    _ALSO_WHEN_FULL
    + _COMMON
    + """
-- ids of holds whose leases may be over: one that was sent is uncertain from now on, another one is given back (and
-- that is remembered for a week).
local why = forbidden()
if why then return why end
for i = 5, #ARGV do
  local id = ARGV[i]
  local h = hold_of(id)
  if not h then
    redis.call('ZREM', P .. ':leases', id)
    redis.call('ZREM', P .. ':holds', id)
  elseif h.damaged then
    put_aside(id)
  elseif known(h.keys) and h.exp <= now then
    local block = obstacle(id, h.keys, h.amount)
    if block and block[1] ~= 'missing' then
      put_aside(id)
    elseif not block and h.state == 'sent' then
      enter('uncertain', id, h.keys, h.amount, negative(h.amount), h.dep, h.req)
      redis.call('HSET', P .. ':h:' .. id, 'state', 'uncertain')
      redis.call('ZREM', P .. ':leases', id)
    elseif not block and h.state == 'reserved' then
      enter('expire', id, h.keys, '0', negative(h.amount), h.dep, h.req)
      redis.call('HSET', P .. ':h:' .. id, 'state', 'expired')
      redis.call('ZREM', P .. ':leases', id)
    elseif h.state == 'expired' and h.exp < now - WEEK_S then
      forget(id)
    elseif not block then
      redis.call('ZREM', P .. ':leases', id)
    end
  end
end
return says('ok')
"""
)

CORRECT = (
    _LUA
    + _COMMON
    + """
-- id, its tag, actual
local why = forbidden()
if why then return why end
local h = hold_of(ARGV[5])
if not h or h.damaged or h.state ~= 'uncertain' or not known(h.keys) then return says('none') end
why = obstacle(ARGV[5], h.keys, ARGV[7])
if why then return why end
enter('correct', ARGV[5], h.keys, minus(ARGV[7], h.amount), '0', h.dep, h.req)
forget(ARGV[5])
remember(ARGV[6])
return says('ok')
"""
)

FOLD = (
    _ALSO_WHEN_FULL
    + _COMMON
    + """
-- For each entry that was exported: its number, key, spent, reserved. It becomes a part of its balance's opening.
local why = forbidden()
if why then return why end
for i = 5, #ARGV, 4 do
  local b = P .. ':b:' .. ARGV[i + 1]
  if redis.call('XDEL', P .. ':entries', ARGV[i] .. '-1') == 1 then
    redis.call('HINCRBY', META, 'folded', 1)
    if redis.call('EXISTS', b) == 1 then
      if ARGV[i + 2] ~= '0' then redis.call('HINCRBY', b, 'os', ARGV[i + 2]) end
      if ARGV[i + 3] ~= '0' then redis.call('HINCRBY', b, 'or', ARGV[i + 3]) end
    end
  end
end
return says('ok')
"""
)

TIDY = (
    _ALSO_WHEN_FULL
    + _COMMON
    + """
-- Names of balances with the ends of their windows: one that has lapsed is no longer missed.
for i = 5, #ARGV, 2 do
  if past(tonumber(ARGV[i + 1])) and redis.call('EXISTS', P .. ':b:' .. ARGV[i]) == 0 then
    if redis.call('SREM', P .. ':keys', ARGV[i]) == 1 then redis.call('HINCRBY', META, 'b', -1) end
  end
end
return says('ok')
"""
)

BALANCE = (
    _ALSO_WHEN_FULL
    + HEAD
    + """
-- keys, each with the end of its window
local sh, sl, rh, rl = 0, 0, 0, 0
for k = 5, #ARGV, 2 do
  local s, r = balance_of(ARGV[k], tonumber(ARGV[k + 1]))
  if not s then return r end
  local hi, lo = limbs(s)
  sh, sl = sh + hi, sl + lo
  hi, lo = limbs(r)
  rh, rl = rh + hi, rl + lo
end
return says('ok', text_of(sh, sl), text_of(rh, rl))
"""
)

DUE = (
    _ALSO_WHEN_FULL
    + HEAD
    + """
-- ids of holds whose leases are over, or which were given back more than a week ago
local found = redis.call('ZRANGEBYSCORE', P .. ':leases', '-inf', nowtext, 'LIMIT', 0, 100)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':holds', '-inf', now - 604800, 'LIMIT', 0, 100)) do
  table.insert(found, id)
end
return says('ok', found)
"""
)

LOOK = (
    _ALSO_WHEN_FULL
    + HEAD
    + """
-- ids of holds
local found = {}
for i = 5, #ARGV do
  local h = hold_of(ARGV[i])
  if h and h.damaged then
    table.insert(found, {ARGV[i], 'damaged', '0', '[]', '0', '', ''})
  elseif h then
    table.insert(found, {ARGV[i], h.state, h.amount, cjson.encode(h.keys), string.format('%.6f', h.exp), h.dep, h.req})
  end
end
return says('ok', found)
"""
)

PAGE = (
    _ALSO_WHEN_FULL
    + HEAD
    + """
-- names of balances
local found = {}
for i = 5, #ARGV do
  local key = P .. ':b:' .. ARGV[i]
  local b = {false, false, false, false, false}
  if is_a(key, 'hash') then b = redis.call('HMGET', key, 'scope', 's', 'r', 'os', 'or') end
  local sound = whole(b[2] or '0') and whole(b[3] or '0')
  if b[1] or b[2] or b[3] then
    table.insert(found, {ARGV[i], b[1] or '', sound and b[2] or '0', sound and b[3] or '0', b[4] or '0', b[5] or '0'})
  end
end
return says('ok', found)
"""
)

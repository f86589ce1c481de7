"""What every script of the ledger begins with. Each is one step: nobody sees the half of one, and what could stop one
is looked at before its first write.

Lua's numbers are doubles and hold whole numbers up to 2^53 only. Amounts are therefore texts: Redis adds
them exactly (HINCRBY, 64 bits), and sums are compared here in two limbs of at most ten and nine digits.

Every key that a script touches is in KEYS, so that a cluster which is moving the slot answers TRYAGAIN instead of
running it on the half that has arrived. All begin with one prefix: meta (a hash: epoch, term, seq, b, folded, behind,
turn, turned), keys (a set of balances' names), entries (a stream), leases and holds (sorted sets by end of lease),
ended:0 and ended:1 (sets of tags of holds that have ended), b:<key> (a balance: s, r, scope, and what was folded: os,
or), h:<hold> (a hold).

ARGV begins with the epoch, the term and the highest entry number that the caller has seen, and for how many seconds
what belongs to a window that has ended is kept. Answers begin with a word, the term and the highest number.
"""

HEAD = """
local META = KEYS[1]
local P = string.sub(META, 1, -6)
local declared = {}
for _, key in ipairs(KEYS) do declared[key] = true end
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local nowtext = t[1] .. '.' .. string.format('%06d', tonumber(t[2]))
local m = redis.call('HMGET', META, 'epoch', 'term', 'seq', 'b', 'folded', 'behind')
if m[1] ~= ARGV[1] then return {'flushed'} end
local term, seq, KEEP = m[2] or '0', m[3] or '0', tonumber(ARGV[4])
local function says(word, ...) return {word, term, seq, ...} end
if string.match(seq, '^%d+$') == nil or #seq > 15 or not tonumber(term) then return says('damaged', META) end
local older = tonumber(term) < tonumber(ARGV[2])
if older or (tonumber(term) == tonumber(ARGV[2]) and tonumber(seq) < tonumber(ARGV[3])) then
  redis.call('HSET', META, 'behind', ARGV[3])  -- whoever has not seen the higher number must not hide the loss
  return says('behind', ARGV[3])
end
if m[6] then return says('behind', m[6]) end

local function is_a(key, kind)
  local found = redis.call('TYPE', key)['ok']
  return found == 'none' or found == kind
end
if declared[P .. ':keys'] then
  if not is_a(P .. ':keys', 'set') then return says('damaged', P .. ':keys') end
  if redis.call('SCARD', P .. ':keys') < tonumber(m[4] or '0') then return says('missing', P .. ':keys') end
end
if declared[P .. ':entries'] then
  if not is_a(P .. ':entries', 'stream') then return says('damaged', P .. ':entries') end
  if redis.call('XLEN', P .. ':entries') < tonumber(seq) - tonumber(m[5] or '0') then
    return says('missing', P .. ':entries')
  end
end

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
local function whole(text)
  return type(text) == 'string' and #text <= 19 and string.match(text, '^%d+$') ~= nil
end
local function past(ends) return ends and ends > 0 and now > ends + KEEP end
-- What is spent and held under a key; nil and why where that cannot be said. What is missing is not nothing.
local function balance_of(name, ends)
  local key = P .. ':b:' .. name
  if not is_a(key, 'hash') then return nil, says('damaged', name) end
  local b = redis.call('HMGET', key, 's', 'r', 'scope')
  if not b[1] and not b[2] and not b[3] and redis.call('SISMEMBER', P .. ':keys', name) == 1 and not past(ends) then
    return nil, says('missing', name)
  end
  if not whole(b[1] or '0') or not whole(b[2] or '0') then return nil, says('damaged', name) end
  return b[1] or '0', b[2] or '0'
end
-- Keys of a hold: {name, scope, end of its window (0: none), whether it is folded at once}.
local function pairs_of(text)
  if type(text) ~= 'string' then return nil end
  local ok, keys = pcall(cjson.decode, text)
  if not ok or type(keys) ~= 'table' then return nil end
  for _, pair in ipairs(keys) do
    if type(pair) ~= 'table' or type(pair[1]) ~= 'string' or type(pair[2]) ~= 'string' then return nil end
    pair[3], pair[4] = tonumber(pair[3]) or 0, tonumber(pair[4]) or 0
  end
  return keys
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
"""

WRITING = """
local WEEK_S = 604800
local LARGEST_HI, LARGEST_LO = 9223372036, 854775807  -- what HINCRBY can add up to
local WRITES = {
  {'XADD', '*', 'a', 'b'}, {'HSET', 'a', 'b'}, {'HSETNX', 'a', 'b'}, {'HINCRBY', 'a', '1'}, {'SADD', 'a'},
  {'ZADD', '1', 'a'}, {'ZREM', 'a'}, {'DEL'}, {'EXPIREAT', '1'},
}
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
-- nil, or {'forbidden', command}.
local function forbidden()
  for _, command in ipairs(WRITES) do
    if not redis.acl_check_cmd(command[1], P .. ':entries', unpack(command, 2)) then
      return says('forbidden', command[1])
    end
  end
end
-- What keeps `enter` from writing all of it, looked at before the first write: Redis does not take back the half of a
-- script that fails. nil: nothing does.
local function obstacle(hold, keys, added)
  for name, kind in pairs({leases = 'zset', holds = 'zset'}) do
    if not is_a(P .. ':' .. name, kind) then return says('damaged', P .. ':' .. name) end
  end
  if not is_a(P .. ':h:' .. hold, 'hash') then return says('damaged', P .. ':h:' .. hold) end
  local ah, al = limbs(added)
  for _, pair in ipairs(keys) do
    local s, r = balance_of(pair[1], pair[3])
    if not s then return r end
    for _, text in ipairs({s, r}) do
      local hi, lo = limbs(text)
      hi, lo = hi + ah + math.floor((lo + al) / 1000000000), (lo + al) % 1000000000
      if hi > LARGEST_HI or (hi == LARGEST_HI and lo > LARGEST_LO) then return says('damaged', pair[1]) end
    end
  end
end
-- Whether all that `keys` name is in KEYS.
local function known(keys)
  for _, pair in ipairs(keys) do
    if not declared[P .. ':b:' .. pair[1]] then return false end
  end
  return true
end
local function dated(keys)  -- those whose window has long ended leave no entry: they are folded at once
  for _, pair in ipairs(keys) do pair[4] = past(pair[3]) and 1 or 0 end
  return keys
end
local function enter(kind, hold, keys, spent, reserved, dep, req)
  for _, pair in ipairs(keys) do
    local b = P .. ':b:' .. pair[1]
    seq = string.format('%.0f', redis.call('HINCRBY', META, 'seq', 1))
    if redis.call('HSETNX', b, 'scope', pair[2]) == 1 and redis.call('SADD', P .. ':keys', pair[1]) == 1 then
      redis.call('HINCRBY', META, 'b', 1)
    end
    if pair[4] == 1 then
      redis.call('HINCRBY', META, 'folded', 1)
      if spent ~= '0' then redis.call('HINCRBY', b, 'os', spent) end
      if reserved ~= '0' then redis.call('HINCRBY', b, 'or', reserved) end
    else
      redis.call('XADD', P .. ':entries', seq .. '-1', 'at', nowtext, 'kind', kind, 'hold', hold, 'key', pair[1],
        'scope', pair[2], 'spent', spent, 'reserved', reserved, 'dep', dep, 'req', req)
    end
    if spent ~= '0' then redis.call('HINCRBY', b, 's', spent) end
    if reserved ~= '0' then redis.call('HINCRBY', b, 'r', reserved) end
    if pair[3] > 0 then
      redis.call('EXPIREAT', b, string.format('%.0f', math.max(pair[3] + KEEP, now + WEEK_S)))
    end
  end
end
local function forget(id)
  redis.call('DEL', P .. ':h:' .. id)
  redis.call('ZREM', P .. ':leases', id)
  redis.call('ZREM', P .. ':holds', id)
end
-- A hold that cannot be ended blocks nobody: it is shown among the holds, and never tried again.
local function put_aside(id)
  if is_a(P .. ':h:' .. id, 'hash') then redis.call('HSET', P .. ':h:' .. id, 'state', 'damaged') end
  redis.call('ZREM', P .. ':leases', id)
end
local function has_ended(tag)
  return redis.call('SISMEMBER', P .. ':ended:0', tag) == 1 or redis.call('SISMEMBER', P .. ':ended:1', tag) == 1
end
-- Remembers for `ENDED_S` at least, and twice that at most, that a hold has ended.
local ENDED_S = 600
local function remember(tag)
  local turns = redis.call('HMGET', META, 'turn', 'turned')
  local turn = turns[1] == '1' and '1' or '0'
  if now - (tonumber(turns[2] or '') or 0) > ENDED_S then
    turn = turn == '1' and '0' or '1'
    redis.call('DEL', P .. ':ended:' .. turn)
    redis.call('HSET', META, 'turn', turn, 'turned', nowtext)
  end
  redis.call('SADD', P .. ':ended:' .. turn, tag)
end
"""

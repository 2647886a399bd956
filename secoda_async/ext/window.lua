-- The sliding window of secoda_async/_engine/window.py, kept in Redis for all who share a limit. Atomic, as any script.
--
-- KEYS[1]  sorted set of the places that are taken: "+" and a token while the request is under way, the token alone
--          afterwards; the score is the microsecond at which the place is free again.
-- KEYS[2]  hash of the gate that a 429 closes: opens (when), spaced (until when calls are evenly spaced),
--          last (when the last one started).
-- ARGV     now (microseconds, or "" for this server's clock), places, window, lease,
--          the token of who wants a place (or ""), seconds of a pause (in microseconds, or ""),
--          then pairs: a token whose request is over, and in how long its place is free (0: at once).
-- Returns  whether the place was given, the time until the gate opens, until calls are no longer spaced, since the
--          last start (-1: never), the number under way, then when each place that was used is free, in order.

local places, gate = KEYS[1], KEYS[2]
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local limit, window, lease = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local token, pause = ARGV[5], tonumber(ARGV[6])

local function exact(number) -- all digits: Lua would round them away
  return string.format('%.0f', number)
end

for index = 7, #ARGV, 2 do
  redis.call('ZREM', places, '+' .. ARGV[index])
  local rest = tonumber(ARGV[index + 1])
  if rest > 0 then
    redis.call('ZADD', places, exact(now + rest), ARGV[index])
  end
end
redis.call('ZREMRANGEBYSCORE', places, '-inf', exact(now)) -- also of those who died with a place

local state = redis.call('HMGET', gate, 'opens', 'spaced', 'last')
local opens, spaced, last = tonumber(state[1]) or 0, tonumber(state[2]) or 0, tonumber(state[3])

if pause then
  opens = math.max(opens, now + pause)
  spaced = opens + window
  redis.call('HSET', gate, 'opens', exact(opens), 'spaced', exact(spaced))
end

local is_given = 0
if token ~= '' then
  local is_open = now >= spaced or (now >= opens and (not last or now >= last + window / limit))
  if redis.call('ZSCORE', places, '+' .. token) then
    is_given = 1 -- asked for again, because the answer was lost
  elseif is_open and redis.call('ZCARD', places) < limit then
    is_given = 1
    last = now
    redis.call('ZADD', places, exact(now + lease + window), '+' .. token)
    redis.call('HSET', gate, 'last', exact(now))
  end
end

-- Nothing is left behind once nobody comes any more.
local longest = math.max(window + lease, spaced - now) / 1000
redis.call('PEXPIRE', places, math.ceil(longest))
redis.call('PEXPIRE', gate, math.ceil(longest))

local answer = {
  is_given, math.ceil(math.max(0, opens - now)), math.ceil(math.max(0, spaced - now)), last and now - last or -1, 0
}
local all = redis.call('ZRANGE', places, 0, -1, 'WITHSCORES')
for index = 1, #all, 2 do
  if string.sub(all[index], 1, 1) == '+' then
    answer[5] = answer[5] + 1
  else
    answer[#answer + 1] = math.ceil(all[index + 1] - now)
  end
end
return answer

-- The sliding window of secoda_async/_engine/window.py, kept in Redis for all who share a limit. Atomic, as any script.
--
-- KEYS[1]  sorted set of the permits: "+" and a token while the request is in flight, the token alone afterwards;
--          the score is the microsecond at which the permit is free again.
-- KEYS[2]  hash of the cooldown after a 429: opens (when it ends), pause (how long it was), spaced (until when calls
--          are evenly spaced), last (when the last one started); and span (the longest window + lease in use).
-- ARGV     now (microseconds, or "" for this server's clock), permits, window, lease,
--          the token of a request that needs a permit (or ""), the length of a cooldown (in microseconds, or ""),
--          then pairs: a token, and in how long its permit is free (0: now, -1: the request is still in flight).
-- Returns  whether the permit was granted, the time until the cooldown ends, until calls are no longer spaced, since
--          the last start (-1: never), the number in flight, then when each used permit is free, in order.

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

local state = redis.call('HMGET', gate, 'opens', 'spaced', 'last', 'pause', 'span')
local opens, spaced, last = tonumber(state[1]) or 0, tonumber(state[2]) or 0, tonumber(state[3])
local span = tonumber(state[5]) or 0
if window + lease > span then
  span = window + lease
  redis.call('HSET', gate, 'span', exact(span))
end

-- A server clock that is set back must not prolong anything: no time is further away than when it was stored.
opens = math.min(opens, now + (tonumber(state[4]) or window))
spaced = math.min(spaced, math.max(opens, now) + window)
last = last and math.min(last, now)

for index = 7, #ARGV, 2 do
  local rest = tonumber(ARGV[index + 1])
  if rest < 0 then
    redis.call('ZADD', places, exact(now + lease + window), '+' .. ARGV[index])
  else
    redis.call('ZREM', places, '+' .. ARGV[index])
    if rest > 0 then
      redis.call('ZADD', places, exact(now + rest), ARGV[index])
    end
  end
end
redis.call('ZREMRANGEBYSCORE', places, '-inf', exact(now)) -- also of processes that died with a permit
for _, member in ipairs(redis.call('ZRANGEBYSCORE', places, '(' .. exact(now + window), '+inf')) do
  if string.sub(member, 1, 1) ~= '+' then
    redis.call('ZADD', places, exact(now + window), member)
  end
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', places, '(' .. exact(now + span), '+inf')) do
  redis.call('ZADD', places, exact(now + span), member)
end

if pause then
  opens = math.max(opens, now + pause)
  spaced = opens + window
  redis.call('HSET', gate, 'pause', exact(opens - now))
end
if spaced > now then
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
  end
end
if last then
  redis.call('HSET', gate, 'last', exact(last))
end

-- Nothing is left behind once nobody comes any more.
local longest = math.max(span, spaced - now) / 1000
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

-- The sliding window of secoda_async/_engine/limits/window.py in Redis, for all processes that share a limit. Every script is atomic.
--
-- KEYS[1]  sorted set of the permits: "+" and a token while the request is in flight, the token alone afterwards;
--          the score is the microsecond at which the permit is free again.
-- KEYS[2]  hash of the cooldown after a 429: opens (its end), pause (its length), spaced (the end of the time in which
--          calls are evenly spaced), last (the start of the last call); and span (the longest window + lease in use).
-- ARGV     now (microseconds, or "" for this server's clock), permits, window, lease,
--          the token of a request that needs a permit (or ""), the length of a cooldown (in microseconds, or ""),
--          then pairs: a token, and the time until its permit is free (0: free now, -1: the request is still in flight).
-- Returns  whether the permit was granted, the time until the cooldown ends, until calls are no longer spaced, since
--          the last start (-1: never), the number in flight, then the time until each used permit is free, in order.

local permits, cooldown = KEYS[1], KEYS[2]
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local limit, window, lease = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local token, pause = ARGV[5], tonumber(ARGV[6])

local function exact(number) -- with all digits: tostring would round
  return string.format('%.0f', number)
end

local state = redis.call('HMGET', cooldown, 'opens', 'spaced', 'last', 'pause', 'span')
local opens, spaced, last = tonumber(state[1]) or 0, tonumber(state[2]) or 0, tonumber(state[3])
local span = tonumber(state[5]) or 0
if window + lease > span then
  span = window + lease
  redis.call('HSET', cooldown, 'span', exact(span))
end

-- If the server's clock was set back, nothing may last longer: no time is further away than when it was stored.
opens = math.min(opens, now + (tonumber(state[4]) or window))
spaced = math.min(spaced, math.max(opens, now) + window)
last = last and math.min(last, now)

for index = 7, #ARGV, 2 do
  local rest = tonumber(ARGV[index + 1])
  if rest < 0 then
    redis.call('ZADD', permits, exact(now + lease + window), '+' .. ARGV[index])
  else
    redis.call('ZREM', permits, '+' .. ARGV[index])
    if rest > 0 then
      redis.call('ZADD', permits, exact(now + rest), ARGV[index])
    end
  end
end
redis.call('ZREMRANGEBYSCORE', permits, '-inf', exact(now)) -- including the permits of processes that died
for _, member in ipairs(redis.call('ZRANGEBYSCORE', permits, '(' .. exact(now + window), '+inf')) do
  if string.sub(member, 1, 1) ~= '+' then
    redis.call('ZADD', permits, exact(now + window), member)
  end
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', permits, '(' .. exact(now + span), '+inf')) do
  redis.call('ZADD', permits, exact(now + span), member)
end

if pause then
  opens = math.max(opens, now + pause)
  spaced = opens + window
  redis.call('HSET', cooldown, 'pause', exact(opens - now))
end
if spaced > now then
  redis.call('HSET', cooldown, 'opens', exact(opens), 'spaced', exact(spaced))
end

local is_granted = 0
if token ~= '' then
  local is_available = now >= spaced or (now >= opens and (not last or now >= last + window / limit))
  if redis.call('ZSCORE', permits, '+' .. token) then
    is_granted = 1 -- requested again, because the reply was lost
  elseif is_available and redis.call('ZCARD', permits) < limit then
    is_granted = 1
    last = now
    redis.call('ZADD', permits, exact(now + lease + window), '+' .. token)
  end
end
if last then
  redis.call('HSET', cooldown, 'last', exact(last))
end

-- The keys expire when the limit is no longer used.
local longest = math.max(span, spaced - now) / 1000
redis.call('PEXPIRE', permits, math.ceil(longest))
redis.call('PEXPIRE', cooldown, math.ceil(longest))

local reply = {
  is_granted, math.ceil(math.max(0, opens - now)), math.ceil(math.max(0, spaced - now)), last and now - last or -1, 0
}
local members = redis.call('ZRANGE', permits, 0, -1, 'WITHSCORES')
for index = 1, #members, 2 do
  if string.sub(members[index], 1, 1) == '+' then
    reply[5] = reply[5] + 1
  else
    reply[#reply + 1] = math.ceil(members[index + 1] - now)
  end
end
return reply

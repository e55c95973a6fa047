-- Gives an apalis queue up, so that the next adopter need not wait.
-- KEYS: 1 owner.
-- ARGV: 1 the adopter.
-- Returns 1, or 0 if it was not its own.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])

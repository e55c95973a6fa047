-- Jobs as readers see them.
--
-- KEYS     the queue's
-- ARGV     from 3: ids, at most 1,000, each once
-- returns  per job that is there, in that order, its seven facts as describe() has them
local answer = {}
describe(answer, { unpack(ARGV, 3) })
return answer
